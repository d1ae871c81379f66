// Text to tokens and back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/table.h"

namespace uvic::data {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual int64_t vocabulary() const = 0;
  /// The token between two documents, which ends a generated text; -1: there is none.
  virtual int64_t boundary() const { return -1; }
  /// The tokens before and after a document. encode() adds neither.
  virtual std::vector<int64_t> start() const { return {}; }
  virtual std::vector<int64_t> end() const {
    return boundary() < 0 ? std::vector<int64_t>{} : std::vector<int64_t>{boundary()};
  }
  /// Of the file that it was read from: its form and a hash of its bytes; empty: built in.
  virtual std::string fingerprint() const { return ""; }
  /// Throws std::invalid_argument, beginning with `source`, for text that has no tokens. Several
  /// threads may call it at once.
  virtual std::vector<int64_t> encode(const std::string& text, const std::string& source) const = 0;
  virtual std::string decode(const std::vector<int64_t>& tokens) const = 0;
};

/// UTF-8 text as its bytes, tokens 0 to 255; 256 is the boundary.
std::unique_ptr<Tokenizer> make_byte_tokenizer();

/// Tokens by name, separated by spaces, as "0 1 1 I". Names of numbers are their digits.
std::unique_ptr<Tokenizer> make_word_tokenizer(std::vector<std::string> names);

/// The names "0" to "count - 1".
std::vector<std::string> number_names(int64_t count);

/// The tokens of a text that is to be continued: start() and the text, or, without a start(),
/// boundary() and the text.
std::vector<int64_t> encode_prompt(const Tokenizer& tokenizer,
                                   const std::string& text,
                                   const std::string& source);

/// Throws std::invalid_argument, beginning with `source`, where `text` is no UTF-8.
void require_utf8(const std::string& text, const std::string& source);

/// The first byte that is no UTF-8, or -1 if all of `size` bytes are.
int64_t first_invalid_utf8(const uint8_t* text, int64_t size);

}  // namespace uvic::data
