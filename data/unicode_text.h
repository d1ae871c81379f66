// Unicode text as code points: UTF-8, normal form C, lower case, and classes of characters
// (utf8proc, Unicode 15).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace uvic::data {

/// Where the first byte is that is no part of well-formed UTF-8 (surrogates, overlong forms and
/// code points above U+10FFFF are none), or nothing.
std::optional<size_t> find_bad_utf8(std::string_view text);

/// Throws std::invalid_argument "not UTF-8: byte 12 is 0xff" where find_bad_utf8() finds one.
std::u32string decode_utf8(std::string_view text);

/// Without the byte order mark that some editors put before UTF-8.
std::string_view without_mark(std::string_view text);

std::string encode_utf8(std::u32string_view text);
void append_utf8(char32_t c, std::string& text);

/// UTF-8 of any bytes: each longest beginning of a sequence that is none becomes U+FFFD, as the
/// Unicode Standard (section 3.9, "maximal subpart") and Rust's from_utf8_lossy have it.
std::string replace_bad_utf8(std::string_view text);

/// Normal form C (UAX 15), in linear time for any input.
std::u32string compose(std::u32string_view text);

enum class NormalForm { kC, kD, kKC, kKD };
/// Any of the normal forms of UAX 15, in linear time for any input.
std::u32string normal_form(std::u32string_view text, NormalForm form);

/// Compatibility composition (NFKC) of one character.
std::u32string compose_compatible(char32_t c);

/// Lower case of each character alone, U+0130 as two characters: Rust's char::to_lowercase.
std::u32string lower_each(std::u32string_view text);

/// Lower case of a text: lower_each(), and a capital sigma at the end of a word becomes U+03C2:
/// Python's str.lower.
std::u32string lower_text(std::u32string_view text);

bool is_letter(char32_t c);       ///< general category L
bool is_number(char32_t c);       ///< general category N
bool is_punctuation(char32_t c);  ///< ASCII punctuation, and general category P
bool is_space(char32_t c);        ///< White_Space: \s of the regex module and of Oniguruma

}  // namespace uvic::data
