// SentencePiece's normaliser: characters by a table, and what becomes of white space.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "data/tokens/sentencepiece_model.h"

namespace uvic::data {

inline constexpr std::string_view kSpaceSymbol = "\xe2\x96\x81";  // U+2581

/// The longest of some texts that another begins with.
class LongestPrefix {
 public:
  void add(const std::string& text);
  /// Its bytes, or 0.
  size_t find(std::string_view text) const;

 private:
  std::unordered_set<std::string> texts_;
  size_t longest_ = 0;
};

class SentencePieceNormalizer {
 public:
  /// Throws std::runtime_error that begins with `source` for a table that is none.
  SentencePieceNormalizer(const SentencePieceModel& model, const std::string& source);

  /// `text` is UTF-8. `kept` are the user's own symbols, which stay as they are.
  std::string normalize(std::string_view text, const LongestPrefix& kept) const;

 private:
  std::pair<std::string_view, size_t> first_of(std::string_view text,
                                               const LongestPrefix& kept) const;
  std::pair<std::string_view, size_t> by_table(std::string_view text) const;

  bool adds_prefix_, removes_spaces_, escapes_spaces_, space_is_suffix_;
  std::vector<uint32_t> trie_;  ///< a double array (Darts-clone) of what is replaced
  std::string replacements_;    ///< texts that end in NUL; the trie's values are places in it
};

}  // namespace uvic::data
