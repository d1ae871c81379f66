#include "data/word_tokens.h"

#include "base/hash.h"
#include "data/procedural_captions.h"

namespace uvic::data {
namespace {

/// FNV-1a, then mixed.
int64_t id_of(std::string_view word) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const unsigned char byte : word) hash = (hash ^ byte) * 0x100000001b3u;
  return static_cast<int64_t>(base::mix64(hash) >> 2) | 1;
}

bool is_letter(unsigned char byte) {
  return byte >= 0x80 || (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
         (byte >= 'A' && byte <= 'Z');
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  for (const unsigned char byte : text) {
    if (is_letter(byte))
      word += static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
    else
      end_word();
  }
  end_word();
  return words;
}

std::vector<int64_t> word_tokens(std::string_view text,
                                 int64_t length,
                                 std::vector<std::string>* unknown,
                                 bool* cut) {
  const auto words = words_of(text);
  if (cut) *cut = static_cast<int64_t>(words.size()) > length;
  std::vector<int64_t> ids;
  for (const auto& word : words) {
    if (unknown && !is_caption_word(word)) unknown->push_back(word);
    if (static_cast<int64_t>(ids.size()) < length) ids.push_back(id_of(word));
  }
  ids.resize(static_cast<size_t>(length), 0);
  return ids;
}

}  // namespace uvic::data
