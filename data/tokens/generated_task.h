// What generated tasks have in common: sequences by position, training and held-out parts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/hash.h"
#include "data/tokens/token_source.h"

namespace uvic::data {

/// A sequence while it is made: length + 1 tokens, and which of them are to be predicted.
struct Draft {
  std::vector<int64_t> tokens;
  std::vector<int64_t> part;  ///< of each token; -1: it does not count
  int64_t size = 0;           ///< of the problem

  void add(int64_t token, int64_t of_part = -1) {
    tokens.push_back(token);
    part.push_back(of_part);
  }
  int64_t count() const { return static_cast<int64_t>(tokens.size()); }
};

/// What makes a task: how a sequence of `tokens` tokens is made from random numbers.
struct Rule {
  std::string name;
  int64_t length;
  std::vector<std::string> token_names;
  std::vector<std::string> parts;
  std::string description;
  std::function<void(base::RandomStream&, int64_t tokens, Draft&)> make;
  /// The different sequences where they are few, so that a hash could leave one part empty: the
  /// number of one; else -1.
  std::function<int64_t(const Draft&)> index = [](const Draft&) { return int64_t{-1}; };
  int64_t count = 0;
};

/// A part of the task's sequences. One sequence of eight is held out, by a hash of its tokens, or
/// by number where Rule::index gives one. Sequences are made until one is of the wanted part.
std::unique_ptr<TokenSource> make_generated_task(Rule rule, TokenSplit split);

}  // namespace uvic::data
