// Regular expressions of tokenizer files, over UTF-8 text.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace uvic::data {

/// Bytes begin .. end - 1 of a text.
struct TextRange {
  size_t begin = 0, end = 0;
};

/// A pattern in the syntax that Hugging Face's tokenizers write (Oniguruma's), matched by PCRE2
/// with Unicode properties. "\s" is White_Space in both. Classes follow the Unicode version of
/// PCRE2 (14 in Debian 12).
class Regex {
 public:
  /// Throws std::runtime_error, beginning with `source`, for a pattern that PCRE2 does not know.
  Regex(const std::string& pattern, const std::string& source);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  /// The matches in `text`, which must be UTF-8, from left to right, none overlapping. Several
  /// threads may call it at once. Throws std::runtime_error where a match takes too many steps.
  std::vector<TextRange> find_all(std::string_view text) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
};

}  // namespace uvic::data
