// Characters of text that is known to be UTF-8.
#pragma once

#include <cstddef>
#include <string_view>

namespace uvic::data {

/// The character at `at`, which moves behind it. `text` must be UTF-8 and `at` the beginning of a
/// character in it.
inline char32_t next_character(std::string_view text, size_t& at) {
  const auto first = static_cast<unsigned char>(text[at++]);
  if (first < 0x80) return first;
  const size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
  char32_t c = first & (0x3fU >> more);
  for (size_t i = 0; i < more && at < text.size(); ++i)
    c = c << 6 | (static_cast<unsigned char>(text[at++]) & 0x3fU);
  return c;
}

/// Where the character that ends before `end` begins; `end` must not be 0.
inline size_t previous_character(std::string_view text, size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80);
  return end;
}

inline char32_t last_character(std::string_view text) {
  size_t at = previous_character(text, text.size());
  return next_character(text, at);
}

}  // namespace uvic::data
