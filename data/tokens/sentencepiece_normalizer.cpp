#include "data/tokens/sentencepiece_normalizer.h"

#include <algorithm>

#include "data/formats/file_error.h"
#include "data/tokens/utf8_walk.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

// A unit of the double array, as Darts-clone packs it.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value_of(uint32_t unit) { return unit & 0x7fffffffU; }
uint32_t label_of(uint32_t unit) { return unit & 0x800000ffU; }
uint32_t offset_of(uint32_t unit) { return unit >> 10 << ((unit & 0x200U) >> 6); }

}  // namespace

void LongestPrefix::add(const std::string& text) {
  texts_.insert(text);
  longest_ = std::max(longest_, text.size());
}

size_t LongestPrefix::find(std::string_view text) const {
  for (size_t length = std::min(longest_, text.size()); length > 0; --length)
    if (texts_.count(std::string(text.substr(0, length))) > 0) return length;
  return 0;
}

SentencePieceNormalizer::SentencePieceNormalizer(const SentencePieceModel& model,
                                                 const std::string& source)
    : adds_prefix_(model.add_dummy_prefix),
      removes_spaces_(model.remove_extra_whitespaces),
      escapes_spaces_(model.escape_whitespaces),
      space_is_suffix_(model.space_is_suffix) {
  const auto& table = model.characters;
  if (table.empty()) return;
  const auto number_at = [&](size_t at) {
    uint32_t number = 0;
    for (size_t i = 4; i-- > 0;) number = number << 8 | static_cast<unsigned char>(table[at + i]);
    return number;
  };
  const size_t size = table.size() >= 4 ? number_at(0) : 0;
  if (size == 0 || size % 4 != 0 || size > table.size() - 4 || table.back() != '\0')
    throw formats::file_error(source, "its table of characters (precompiled_charsmap) is damaged");
  for (size_t at = 4; at < 4 + size; at += 4) trie_.push_back(number_at(at));
  replacements_ = table.substr(4 + size);
  if (find_bad_utf8(replacements_))
    throw formats::file_error(source, "its table of characters holds text that is no UTF-8");
}

/// The replacement of the longest beginning that the table has, and its bytes; 0 bytes: none.
std::pair<std::string_view, size_t> SentencePieceNormalizer::by_table(std::string_view text) const {
  std::pair<std::string_view, size_t> found{"", 0};
  if (trie_.empty()) return found;
  size_t node = offset_of(trie_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= trie_.size() || label_of(trie_[node]) != byte) break;
    const uint32_t unit = trie_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit) || node >= trie_.size()) continue;
    const size_t place = value_of(trie_[node]);
    if (place < replacements_.size()) found = {replacements_.c_str() + place, i + 1};
  }
  return found;
}

/// What the text begins with, normalised, and the bytes that it takes.
std::pair<std::string_view, size_t> SentencePieceNormalizer::first_of(
    std::string_view text, const LongestPrefix& kept) const {
  if (const auto length = kept.find(text); length > 0) return {text.substr(0, length), length};
  const auto replaced = by_table(text);
  if (replaced.second > 0) return replaced;
  size_t at = 0;
  next_character(text, at);
  return {text.substr(0, at), at};
}

std::string SentencePieceNormalizer::normalize(std::string_view text,
                                               const LongestPrefix& kept) const {
  std::string result;
  const auto space = escapes_spaces_ ? kSpaceSymbol : std::string_view(" ");
  while (removes_spaces_ && !text.empty()) {
    const auto [first, length] = first_of(text, kept);
    if (first != " ") break;
    text.remove_prefix(length);
  }
  if (text.empty()) return result;
  if (adds_prefix_ && !space_is_suffix_) result += space;
  bool after_space = removes_spaces_;
  while (!text.empty()) {
    auto [first, length] = first_of(text, kept);
    while (after_space && !first.empty() && first[0] == ' ') first.remove_prefix(1);
    for (const char c : first) {
      if (c == ' ')
        result += space;
      else
        result += c;
    }
    if (!first.empty()) after_space = removes_spaces_ && first.back() == ' ';
    text.remove_prefix(length);
  }
  const auto ends_in_space = [&] {
    return result.size() >= space.size() &&
           result.compare(result.size() - space.size(), space.size(), space) == 0;
  };
  while (removes_spaces_ && ends_in_space()) result.resize(result.size() - space.size());
  if (adds_prefix_ && space_is_suffix_) result += space;
  return result;
}

}  // namespace uvic::data
