#include "data/tokens/tokenizer.h"

#include <fmt/format.h>

#include <map>
#include <sstream>
#include <stdexcept>

namespace uvic::data {
namespace {

constexpr int64_t kBytes = 256;

class ByteTokenizer : public Tokenizer {
 public:
  int64_t vocabulary() const override { return kBytes + 1; }
  int64_t boundary() const override { return kBytes; }

  std::vector<int64_t> encode(const std::string& text, const std::string& source) const override {
    require_utf8(text, source);
    const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
    return {bytes, bytes + text.size()};
  }

  std::string decode(const std::vector<int64_t>& tokens) const override {
    std::string text;
    for (const auto token : tokens)
      if (token < kBytes) text += static_cast<char>(token);
    return text;
  }
};

class WordTokenizer : public Tokenizer {
 public:
  explicit WordTokenizer(std::vector<std::string> names) : names_(std::move(names)) {
    for (size_t i = 0; i < names_.size(); ++i) ids_.emplace(names_[i], static_cast<int64_t>(i));
  }
  int64_t vocabulary() const override { return static_cast<int64_t>(names_.size()); }

  std::vector<int64_t> encode(const std::string& text, const std::string& source) const override {
    std::vector<int64_t> tokens;
    std::istringstream words(text);
    for (std::string word; words >> word;) {
      const auto found = ids_.find(word);
      if (found == ids_.end())
        throw std::invalid_argument(fmt::format("{}: no token \"{}\"; they are {} to {}{}",
                                                source,
                                                word,
                                                names_.front(),
                                                names_.back(),
                                                ", separated by spaces"));
      tokens.push_back(found->second);
    }
    return tokens;
  }

  std::string decode(const std::vector<int64_t>& tokens) const override {
    std::string text;
    for (const auto token : tokens) {
      if (!text.empty()) text += ' ';
      text += names_.at(static_cast<size_t>(token));
    }
    return text;
  }

 private:
  std::vector<std::string> names_;
  std::map<std::string, int64_t> ids_;
};

/// The bytes of the sequence that `text` begins with, or 0 if it is invalid (Unicode 15, table
/// 3-7).
int64_t sequence_bytes(const uint8_t* text, int64_t size) {
  const uint8_t first = text[0];
  if (first < 0x80) return 1;
  const int64_t count = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || count > size) return 0;
  const uint8_t low = first == 0xE0   ? 0xA0
                      : first == 0xF0 ? 0x90
                                      : 0x80,
                high = first == 0xED   ? 0x9F
                       : first == 0xF4 ? 0x8F
                                       : 0xBF;
  if (text[1] < low || text[1] > high) return 0;
  for (int64_t i = 2; i < count; ++i)
    if ((text[i] & 0xC0) != 0x80) return 0;
  return count;
}

}  // namespace

int64_t first_invalid_utf8(const uint8_t* text, int64_t size) {
  for (int64_t i = 0; i < size;) {
    const auto count = sequence_bytes(text + i, size - i);
    if (count == 0) return i;
    i += count;
  }
  return -1;
}

std::vector<int64_t> encode_prompt(const Tokenizer& tokenizer,
                                   const std::string& text,
                                   const std::string& source) {
  auto prompt = tokenizer.start();
  if (prompt.empty() && tokenizer.boundary() >= 0) prompt.push_back(tokenizer.boundary());
  const auto tokens = tokenizer.encode(text, source);
  prompt.insert(prompt.end(), tokens.begin(), tokens.end());
  return prompt;
}

void require_utf8(const std::string& text, const std::string& source) {
  const auto bad = first_invalid_utf8(reinterpret_cast<const uint8_t*>(text.data()),
                                      static_cast<int64_t>(text.size()));
  if (bad >= 0)
    throw std::invalid_argument(
        fmt::format("{}: byte {} is not UTF-8; convert the text to UTF-8 first", source, bad));
}

std::vector<std::string> number_names(int64_t count) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < count; ++i) names.push_back(fmt::format("{}", i));
  return names;
}

std::unique_ptr<Tokenizer> make_byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

std::unique_ptr<Tokenizer> make_word_tokenizer(std::vector<std::string> names) {
  return std::make_unique<WordTokenizer>(std::move(names));
}

}  // namespace uvic::data
