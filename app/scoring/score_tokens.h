// Loss, perplexity and accuracy of a network of sequences.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/torch.h"
#include "data/tokens/token_source.h"
#include "model/sequence_network.h"

namespace uvic::app {

/// A mean over tokens, with its standard error over sequences: tokens of one sequence are not
/// independent, so the error is that of the ratio of two sums over sequences (Cochran 1977, sec.
/// 2.11). NaN with fewer than two sequences.
struct MeanWithError {
  double mean = 0, error = 0;
};

struct TokenGroupScore {
  std::string name;
  int64_t tokens = 0;      ///< that count
  MeanWithError loss;      ///< nats a token
  MeanWithError accuracy;  ///< share of tokens whose largest logit is theirs
};

struct TokenScore {
  int64_t sequences = 0;
  int64_t length = 0;  ///< tokens of a sequence
  TokenGroupScore all;
  MeanWithError whole;                 ///< share of sequences all of whose tokens are right
  std::vector<TokenGroupScore> parts;  ///< sub-tasks; empty where there is one only
  std::vector<TokenGroupScore> sizes;  ///< of up to 8 ranges of problem sizes; empty for one size
  /// Loss and accuracy without each of up to 20 equal parts of the sequences in their order, for a
  /// jackknife of the difference of two networks on the same sequences. Empty below two sequences,
  /// and where a part holds all tokens that count.
  std::vector<double> loss_without, accuracy_without;

  double perplexity() const;  ///< e^loss
  /// Of the perplexity: that of the loss times the perplexity, to first order.
  double perplexity_error() const;
  nlohmann::json json() const;
};

/// Of `count` sequences of the source in the order of `seed`, from number `begin` on; `batch` at
/// once. `progress` is called with the sequences done and may throw.
TokenScore score_tokens(model::SequenceNetwork& network,
                        const data::TokenSource& source,
                        uint64_t seed,
                        int64_t count,
                        int64_t batch,
                        const std::function<void(int64_t)>& progress = nullptr,
                        int64_t begin = 0);

/// Where a source of sequences is from.
struct TokenSourceOrigin {
  std::string data;             ///< its name, or its file
  std::string tokenizer;        ///< the file of its tokenizer; empty: a built-in one
  std::string trained_on = {};  ///< the fingerprint of the network's training data, where known
};

/// Throws std::invalid_argument where the network can't take the sequences: another tokenizer
/// (require_tokenizer_of()), another vocabulary, or (unless `allow_longer`) longer than in its
/// training.
void check_token_source(const model::NetworkInput& input,
                        const data::TokenSource& source,
                        const TokenSourceOrigin& origin,
                        bool allow_longer);

}  // namespace uvic::app
