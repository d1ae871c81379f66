#include "data/unicode_text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <vector>

namespace uvic::data {
namespace {

constexpr char32_t kCapitalSigma = 0x3a3, kFinalSigma = 0x3c2, kCapitalDottedI = 0x130;
constexpr char32_t kLastCodePoint = 0x10ffff;

/// The length of the well-formed sequence at `at`, and its code point; length 0: there is none.
struct Sequence {
  size_t length = 0;
  char32_t code_point = 0;
};

Sequence sequence_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {1, first};
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length > text.size()) return {};
  char32_t c = first & (0xff >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    c = c << 6 | (byte(i) & 0x3f);
  }
  const bool overlong = (length == 3 && c < 0x800) || (length == 4 && c < 0x10000);
  if (overlong || (c >= 0xd800 && c < 0xe000) || c > kLastCodePoint) return {};
  return {length, c};
}

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

/// Property Cased outside the categories Lu, Ll and Lt (Other_Lowercase, Other_Uppercase), as far
/// as it is not Case_Ignorable.
bool is_cased(char32_t c) {
  const auto kind = category(c);
  if (kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL || kind == UTF8PROC_CATEGORY_LT)
    return true;
  return c == 0xaa || c == 0xba || (c >= 0x2160 && c <= 0x217f) || (c >= 0x24b6 && c <= 0x24e9) ||
         (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
         (c >= 0x1f170 && c <= 0x1f189);
}

/// Property Case_Ignorable: categories Mn, Me, Cf, Lm, Sk, and Word_Break MidLetter, MidNumLet and
/// Single_Quote.
bool is_case_ignorable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      break;
  }
  constexpr char32_t kBetweenLetters[] = {0x27,
                                          0x2e,
                                          0x3a,
                                          0xb7,
                                          0x387,
                                          0x55f,
                                          0x5f4,
                                          0x2018,
                                          0x2019,
                                          0x2024,
                                          0x2027,
                                          0xfe13,
                                          0xfe52,
                                          0xfe55,
                                          0xff07,
                                          0xff0e,
                                          0xff1a};
  return std::binary_search(std::begin(kBetweenLetters), std::end(kBetweenLetters), c);
}

/// SpecialCasing's Final_Sigma: a cased letter before it and none after it, characters that case
/// ignores left aside.
bool is_final(std::u32string_view text, size_t at) {
  size_t before = at;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  size_t after = at + 1;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

/// The bytes at the beginning of `text`, which is no UTF-8, that one U+FFFD stands for: the longest
/// beginning of some sequence, at least one byte.
size_t bad_prefix_bytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  if (first < 0xc2 || first > 0xf4) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  size_t count = 1;
  while (count < length && count < text.size() && byte(count) >= (count == 1 ? low : 0x80U) &&
         byte(count) <= (count == 1 ? high : 0xbfU))
    ++count;
  return count;
}

/// Canonical (or compatibility) decomposition in canonical order.
std::vector<utf8proc_int32_t> decompose(std::u32string_view text, utf8proc_option_t options) {
  constexpr int kLongest = 32;  // U+FDFA has 18
  std::vector<utf8proc_int32_t> result;
  result.reserve(text.size());
  int boundary = UTF8PROC_BOUNDCLASS_START;
  for (const char32_t c : text) {
    std::array<utf8proc_int32_t, kLongest> parts;
    const auto count = utf8proc_decompose_char(
        static_cast<utf8proc_int32_t>(c), parts.data(), kLongest, options, &boundary);
    if (count < 0 || count > kLongest)
      throw std::invalid_argument(fmt::format("U+{:04X} can't be normalised", uint32_t{c}));
    result.insert(result.end(), parts.begin(), parts.begin() + count);
  }
  // utf8proc's own ordering takes quadratic time for thousands of marks in a row.
  const auto order = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
  for (size_t begin = 0; begin < result.size(); ++begin) {
    if (order(result[begin]) == 0) continue;
    size_t end = begin;
    while (end < result.size() && order(result[end]) != 0) ++end;
    std::stable_sort(result.begin() + static_cast<std::ptrdiff_t>(begin),
                     result.begin() + static_cast<std::ptrdiff_t>(end),
                     [&](auto a, auto b) { return order(a) < order(b); });
    begin = end;
  }
  return result;
}

std::u32string normalise(std::u32string_view text, int options, bool composed = true) {
  const auto all = static_cast<utf8proc_option_t>(options | UTF8PROC_STABLE);
  auto points = decompose(text, static_cast<utf8proc_option_t>(all | UTF8PROC_DECOMPOSE));
  if (points.empty() || !composed) return {points.begin(), points.end()};
  const auto length =
      utf8proc_normalize_utf32(points.data(),
                               static_cast<utf8proc_ssize_t>(points.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (length < 0) throw std::invalid_argument("the text can't be normalised");
  return {points.begin(), points.begin() + length};
}

}  // namespace

std::optional<size_t> find_bad_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto sequence = sequence_at(text, at);
    if (sequence.length == 0) return at;
    at += sequence.length;
  }
  return std::nullopt;
}

std::string_view without_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  return text.substr(0, kMark.size()) == kMark ? text.substr(kMark.size()) : text;
}

std::u32string decode_utf8(std::string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const auto sequence = sequence_at(text, at);
    if (sequence.length == 0)
      throw std::invalid_argument(
          fmt::format("not UTF-8: byte {} is 0x{:02x}", at, static_cast<unsigned char>(text[at])));
    result.push_back(sequence.code_point);
    at += sequence.length;
  }
  return result;
}

void append_utf8(char32_t c, std::string& text) {
  const auto add = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (c < 0x80) return add(c);
  if (c < 0x800) {
    add(0xc0 | c >> 6);
  } else {
    if (c < 0x10000) {
      add(0xe0 | c >> 12);
    } else {
      add(0xf0 | c >> 18);
      add(0x80 | (c >> 12 & 0x3f));
    }
    add(0x80 | (c >> 6 & 0x3f));
  }
  add(0x80 | (c & 0x3f));
}

std::string encode_utf8(std::u32string_view text) {
  std::string result;
  result.reserve(text.size());
  for (const char32_t c : text) append_utf8(c, result);
  return result;
}

std::string replace_bad_utf8(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const auto bad = find_bad_utf8(text.substr(at));
    result += text.substr(at, bad ? *bad : text.size() - at);
    if (!bad) break;
    at += *bad;
    result += "\xef\xbf\xbd";
    at += bad_prefix_bytes(text.substr(at));
  }
  return result;
}

std::u32string normal_form(std::u32string_view text, NormalForm form) {
  const bool compatible = form == NormalForm::kKC || form == NormalForm::kKD;
  return normalise(
      text, compatible ? UTF8PROC_COMPAT : 0, form == NormalForm::kC || form == NormalForm::kKC);
}

std::u32string compose(std::u32string_view text) {
  const auto is_plain = [](char32_t c) { return c < 0x300; };  // nothing below changes
  if (std::all_of(text.begin(), text.end(), is_plain)) return std::u32string(text);
  return normalise(text, 0);
}

std::u32string compose_compatible(char32_t c) { return normalise({&c, 1}, UTF8PROC_COMPAT); }

std::u32string lower_each(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (const char32_t c : text) {
    result.push_back(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    if (c == kCapitalDottedI) result.back() = 'i', result.push_back(0x307);
  }
  return result;
}

std::u32string lower_text(std::u32string_view text) {
  auto result = lower_each(text);
  if (text.find(kCapitalSigma) == std::u32string_view::npos) return result;
  for (size_t i = 0, at = 0; i < text.size(); ++i, ++at) {
    if (text[i] == kCapitalSigma && is_final(text, i)) result[at] = kFinalSigma;
    if (text[i] == kCapitalDottedI) ++at;
  }
  return result;
}

bool is_letter(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_number(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  const auto kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

bool is_space(char32_t c) {
  return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

}  // namespace uvic::data
