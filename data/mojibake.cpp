#include "data/mojibake.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <optional>
#include <string>

#include "data/mojibake_tables.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

constexpr size_t kLatin1 = 0, kWindows1252 = 1, kMacRoman = 8;  // in single_byte_encodings
constexpr char32_t kUndecodable = 0xfffd;
constexpr unsigned char kSubstitute = 0x1a;

unsigned byte_at(std::string_view bytes, size_t at) {
  return static_cast<unsigned char>(bytes[at]);
}

/// The bytes that are these characters in the encoding, or nothing where it lacks one.
std::optional<std::string> encode(std::u32string_view text, const SingleByteEncoding& encoding) {
  std::string bytes;
  bytes.reserve(text.size());
  for (const char32_t c : text) {
    if (encoding.is_sloppy && c == kUndecodable) {
      bytes.push_back(static_cast<char>(kSubstitute));
    } else if (c < 0x80) {
      if (encoding.is_sloppy && c == kSubstitute) return std::nullopt;
      bytes.push_back(static_cast<char>(c));
    } else {
      const auto found = std::find(encoding.high.begin(), encoding.high.end(), c);
      if (found == encoding.high.end()) return std::nullopt;
      bytes.push_back(static_cast<char>(0x80 + (found - encoding.high.begin())));
    }
  }
  return bytes;
}

std::optional<std::u32string> decode(std::string_view bytes) {
  if (find_bad_utf8(bytes)) return std::nullopt;
  return decode_utf8(bytes);
}

/// Whether Python's "$" matches before byte `at`: at the end, or before a last line feed.
bool is_end(std::string_view bytes, size_t at) {
  return at == bytes.size() || (at + 1 == bytes.size() && bytes[at] == '\n');
}

/// Whether the six bytes here are two surrogates in UTF-8, as CESU-8 writes a character above
/// U+FFFF; the last ones may be missing where the text ends, as ftfy's pattern has it.
bool is_surrogate_pair(std::string_view bytes, size_t at) {
  constexpr std::array<std::pair<unsigned, unsigned>, 6> kRanges = {
      {{0xed, 0xed}, {0xa0, 0xaf}, {0x80, 0xbf}, {0xed, 0xed}, {0xb0, 0xbf}, {0x80, 0xbf}}};
  size_t place = at;
  for (const auto& [low, high] : kRanges) {
    if (place < bytes.size() && byte_at(bytes, place) >= low && byte_at(bytes, place) <= high) {
      ++place;
    } else if (!is_end(bytes, place)) {
      return false;
    }
  }
  return true;
}

/// UTF-8 with CESU-8's surrogate pairs and Java's two bytes for U+0000.
std::optional<std::u32string> decode_variants(std::string_view bytes) {
  std::u32string text;
  size_t plain = 0;  // where what is not decoded yet begins
  const auto take_plain = [&](size_t end) {
    const auto part = decode(bytes.substr(plain, end - plain));
    if (part) text += *part;
    return part.has_value();
  };
  for (size_t at = 0; at < bytes.size();) {
    const auto byte = byte_at(bytes, at);
    const bool is_null = byte == 0xc0 && at + 1 < bytes.size() &&
                         (byte_at(bytes, at + 1) == 0x80 || is_end(bytes, at + 1));
    const bool is_surrogate = byte == 0xed && at + 2 < bytes.size() &&
                              byte_at(bytes, at + 1) >= 0xa0 && byte_at(bytes, at + 1) <= 0xbf &&
                              (byte_at(bytes, at + 2) & 0xc0) == 0x80;
    if (!is_null && !is_surrogate) {
      ++at;
      continue;
    }
    if (!take_plain(at)) return std::nullopt;
    if (is_null) {
      text.push_back(0);
      at += 2;
    } else {
      if (bytes.size() - at < 6 || !is_surrogate_pair(bytes, at)) return std::nullopt;
      const auto bits = [&](size_t i, unsigned mask) { return byte_at(bytes, at + i) & mask; };
      text.push_back((bits(1, 0xf) << 16) + (bits(2, 0x3f) << 10) + (bits(4, 0xf) << 6) +
                     bits(5, 0x3f) + 0x10000);
      at += 6;
    }
    plain = at;
  }
  if (!take_plain(bytes.size())) return std::nullopt;
  return text;
}

using ByteSet = std::bitset<256>;

ByteSet bytes_of(std::initializer_list<std::pair<unsigned, unsigned>> ranges) {
  ByteSet set;
  for (const auto& [low, high] : ranges)
    for (unsigned b = low; b <= high; ++b) set.set(b);
  return set;
}

using BytePattern = std::vector<ByteSet>;

/// The length of the first of the patterns that the bytes have here, or 0.
size_t match_at(const std::vector<BytePattern>& patterns, std::string_view bytes, size_t at) {
  for (const auto& pattern : patterns) {
    if (bytes.size() - at < pattern.size()) continue;
    size_t i = 0;
    while (i < pattern.size() && pattern[i][byte_at(bytes, at + i)]) ++i;
    if (i == pattern.size()) return i;
  }
  return 0;
}

/// Sequences of UTF-8 in which a blank is where byte a0 belongs.
const std::vector<BytePattern>& altered_utf8() {
  static const std::vector<BytePattern> patterns = [] {
    const auto blank = bytes_of({{' ', ' '}}), later = bytes_of({{0x80, 0xbf}}),
               four = bytes_of({{0xf0, 0xf0}});
    const auto some = bytes_of({{0x80, 0x84}, {0x86, 0x9f}, {0xa1, 0xbf}});
    return std::vector<BytePattern>{
        {bytes_of({{0xc2, 0xc3}, {0xc5, 0xc5}, {0xce, 0xce}, {0xd0, 0xd0}, {0xd9, 0xd9}}), blank},
        {bytes_of({{0xe2, 0xe3}}), blank, some},
        {bytes_of({{0xe0, 0xe3}}), some, blank},
        {four, blank, later, later},
        {four, later, blank, later},
        {four, later, later, blank}};
  }();
  return patterns;
}

/// Sequences of UTF-8 of which bytes are lost: 1a, or once "?", is in their place.
const std::vector<BytePattern>& lossy_utf8() {
  static const std::vector<BytePattern> patterns = [] {
    const auto lost = bytes_of({{0x1a, 0x1a}}),
               lost_or_asked = bytes_of({{0x1a, 0x1a}, {'?', '?'}}),
               later = bytes_of({{0x1a, 0x1a}, {0x80, 0xbf}}),
               any = bytes_of({{0x1a, 0x1a}, {'?', '?'}, {0x80, 0xbf}}),
               surrogate = bytes_of({{0xed, 0xed}}), high = bytes_of({{0xa0, 0xaf}}),
               low = bytes_of({{0xb0, 0xbf}}), three = bytes_of({{0xe0, 0xef}}),
               four = bytes_of({{0xf0, 0xf4}});
    return std::vector<BytePattern>{{bytes_of({{0xc2, 0xdf}}), lost},
                                    {bytes_of({{0xc2, 0xc3}}), bytes_of({{'?', '?'}})},
                                    {surrogate, high, lost_or_asked, surrogate, low, any},
                                    {surrogate, high, any, surrogate, low, lost_or_asked},
                                    {three, lost_or_asked, later},
                                    {three, later, lost_or_asked},
                                    {four, lost_or_asked, later, later},
                                    {four, later, lost_or_asked, later},
                                    {four, later, later, lost_or_asked},
                                    {lost}};
  }();
  return patterns;
}

bool has_match(const std::vector<BytePattern>& patterns, std::string_view bytes) {
  for (size_t at = 0; at < bytes.size(); ++at)
    if (match_at(patterns, bytes, at) > 0) return true;
  return false;
}

/// Every match of the patterns, replaced by replacement(match).
template <class Replacement>
std::string replace_matches(const std::vector<BytePattern>& patterns,
                            std::string_view bytes,
                            Replacement&& replacement) {
  std::string result;
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = match_at(patterns, bytes, at);
    if (length == 0) {
      result.push_back(bytes[at++]);
    } else {
      result += replacement(bytes.substr(at, length));
      at += length;
    }
  }
  return result;
}

/// A lone "Ã " was "à " once, except where Portuguese words go on after it.
std::string restore_a_grave(std::string_view bytes) {
  constexpr std::string_view kGoesOn[] = {" ", "quele", "quela", "quilo", "s "};
  std::string result;
  for (size_t at = 0; at < bytes.size(); ++at) {
    result.push_back(bytes[at]);
    if (bytes.substr(at, 2) != "\xc3 ") continue;
    const auto rest = bytes.substr(at + 2);
    if (std::any_of(std::begin(kGoesOn), std::end(kGoesOn), [&](std::string_view word) {
          return rest.substr(0, word.size()) == word;
        }))
      continue;
    result += "\xa0 ";
    ++at;
  }
  return result;
}

std::string restore_blanks(std::string_view bytes) {
  return replace_matches(altered_utf8(), restore_a_grave(bytes), [](std::string_view match) {
    std::string restored(match);
    std::replace(restored.begin(), restored.end(), ' ', '\xa0');
    return restored;
  });
}

/// The text whose UTF-8 was read in this encoding, or nothing.
std::optional<std::u32string> undo(std::u32string_view text, size_t index) {
  const auto& encoding = single_byte_encodings[index];
  auto bytes = encode(text, encoding);
  if (!bytes) return std::nullopt;
  // An en dash before a blank would match in MacRoman.
  if (index != kMacRoman && has_match(altered_utf8(), *bytes)) bytes = restore_blanks(*bytes);
  if (encoding.is_sloppy)
    bytes = replace_matches(
        lossy_utf8(), *bytes, [](std::string_view) { return std::string("\xef\xbf\xbd"); });
  const bool has_variants = bytes->find_first_of("\xed\xc0") != std::string::npos;
  return has_variants ? decode_variants(*bytes) : decode(*bytes);
}

/// Sequences inside a text that are UTF-8 read wrongly, each repaired alone.
std::u32string fix_embedded(std::u32string_view text) {
  const auto kinds = kinds_of(text);
  const auto sequence_length = [&](size_t at) -> size_t {
    const size_t length = kinds[at] & kFirstOf2   ? 2
                          : kinds[at] & kFirstOf3 ? 3
                          : kinds[at] & kFirstOf4 ? 4
                                                  : 0;
    if (length == 0 || text.size() - at < length) return 0;
    for (size_t i = 1; i < length; ++i)
      if (!(kinds[at + i] & kContinuation)) return 0;
    return length;
  };
  std::u32string result;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    if (at == 0 || !(kinds[at - 1] & kStrictContinuation))
      for (size_t length = sequence_length(at); length > 0 && end < text.size();
           length = end < text.size() ? sequence_length(end) : 0)
        end += length;
    if (end == at) {
      result.push_back(text[at++]);
      continue;
    }
    const auto part = text.substr(at, end - at);
    const bool is_wrong = part.size() < text.size() && looks_like_mojibake(part);
    result += is_wrong ? fix_encoding(std::u32string(part)) : std::u32string(part);
    at = end;
  }
  return result;
}

bool is_c1(char32_t c) { return c >= 0x80 && c < 0xa0; }

/// Latin-1 that was meant to be Windows-1252, or nothing where that lacks a character.
std::optional<std::u32string> as_windows_1252(std::u32string text) {
  for (char32_t& c : text) {
    if (!is_c1(c)) continue;
    const char32_t meant = single_byte_encodings[kWindows1252].high[c - 0x80];
    if (meant == c) return std::nullopt;
    c = meant;
  }
  return text;
}

std::u32string fix_one_step(const std::u32string& text) {
  if (!looks_like_mojibake(text)) return text;
  bool may_be_latin1 = false;
  for (size_t i = 0; i < kSingleByteEncodings; ++i) {
    if (i == kLatin1) may_be_latin1 = encode(text, single_byte_encodings[i]).has_value();
    if (auto fixed = undo(text, i)) return *fixed;
  }
  if (auto fixed = fix_embedded(text); fixed != text) return fixed;
  if (may_be_latin1)
    if (auto fixed = as_windows_1252(text); fixed && *fixed != text) return *fixed;
  return fix_c1_controls(text);
}

}  // namespace

std::u32string fix_c1_controls(std::u32string text) {
  for (char32_t& c : text)
    if (is_c1(c)) c = single_byte_encodings[kWindows1252].high[c - 0x80];
  return text;
}

std::u32string fix_encoding(std::u32string text) {
  while (true) {
    auto fixed = fix_one_step(text);
    if (fixed == text) return fixed;
    text = std::move(fixed);
  }
}

}  // namespace uvic::data
