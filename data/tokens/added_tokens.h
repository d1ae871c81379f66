// The added tokens of a tokenizer.json: found in a text as they are, before any word.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/tokens/regex.h"
#include "data/tokens/tokenizer_parts.h"

namespace uvic::data {

struct AddedTokenRule {
  std::string text;  ///< what is searched for: normalised, where `normalized`
  int32_t id = 0;
  bool is_special = false;                         ///< left out of decoded text
  bool normalized = false;                         ///< searched for in the normalised text
  bool strips_left = false, strips_right = false;  ///< takes the white space next to it along
};

/// The list "added_tokens". Throws std::runtime_error that begins with `source` for an entry that
/// is none, and for a single_word, which is not understood.
std::vector<AddedTokenRule> read_added_tokens(const nlohmann::json& file,
                                              const Normalizer& normalizer,
                                              const std::string& source);

/// Where the rules match: the leftmost first, of those that begin at one place the longest.
class AddedTokenFinder {
 public:
  struct Found {
    TextRange range;
    int32_t id = 0;
  };
  AddedTokenFinder() = default;
  explicit AddedTokenFinder(std::vector<AddedTokenRule> rules);
  std::vector<Found> find_all(const std::string& text) const;

 private:
  std::vector<AddedTokenRule> rules_;  ///< longest first
  std::array<std::vector<size_t>, 256> rules_by_first_byte_;
};

}  // namespace uvic::data
