#include "data/text_repair.h"

#include <utf8proc.h>

#include <algorithm>

#include "data/html_entities.h"
#include "data/mojibake.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

constexpr size_t kLongestSegment = 1000000;  // characters

std::u32string_view ligature(char32_t c) {
  switch (c) {
    case 0x132:
      return U"IJ";
    case 0x133:
      return U"ij";
    case 0x149:
      return U"\u02bcn";
    case 0x1f1:
      return U"DZ";
    case 0x1f2:
      return U"Dz";
    case 0x1f3:
      return U"dz";
    case 0x1c4:
      return U"D\u017d";
    case 0x1c5:
      return U"D\u017e";
    case 0x1c6:
      return U"d\u017e";
    case 0x1c7:
      return U"LJ";
    case 0x1c8:
      return U"Lj";
    case 0x1c9:
      return U"lj";
    case 0x1ca:
      return U"NJ";
    case 0x1cb:
      return U"Nj";
    case 0x1cc:
      return U"nj";
    case 0xfb00:
      return U"ff";
    case 0xfb01:
      return U"fi";
    case 0xfb02:
      return U"fl";
    case 0xfb03:
      return U"ffi";
    case 0xfb04:
      return U"ffl";
    case 0xfb05:
      return U"\u017ft";
    case 0xfb06:
      return U"st";
    default:
      return {};
  }
}

bool is_removed(char32_t c) {
  return c < 0x9 || c == 0xb || (c >= 0xe && c < 0x20) || c == 0x7f ||
         (c >= 0x206a && c < 0x2070) || c == 0xfeff || (c >= 0xfff9 && c < 0xfffd);
}

/// Ligatures, then width, then quotation marks: each sees what the one before it left.
std::u32string fix_characters(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  const auto add = [&](char32_t c) {
    if (c == 0x2bc || (c >= 0x2018 && c <= 0x201b)) c = '\'';
    if (c >= 0x201c && c <= 0x201f) c = '"';
    result.push_back(c);
  };
  for (const char32_t c : text) {
    if (const auto letters = ligature(c); !letters.empty())
      std::for_each(letters.begin(), letters.end(), add);
    else if (c == 0x3000)
      add(' ');
    else if (c >= 0xff01 && c <= 0xffef)
      for (const char32_t standard : compose_compatible(c)) add(standard);
    else
      add(c);
  }
  return result;
}

std::u32string fix_line_ends(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    const bool is_end = c == '\r' || c == 0x2028 || c == 0x2029 || c == 0x85;
    result.push_back(is_end ? U'\n' : c);
  }
  return result;
}

/// Without ESC [ digits and semicolons, letter.
std::u32string remove_terminal_escapes(std::u32string_view text) {
  const auto is_digit = [](char32_t c) {
    return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND;
  };
  std::u32string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    if (text[at] == 0x1b && at + 1 < text.size() && text[at + 1] == '[') {
      size_t end = at + 2;
      while (end < text.size() && (text[end] == ';' || is_digit(text[end]))) ++end;
      if (end < text.size() && text[end] < 0x80 && is_letter(text[end])) {
        at = end + 1;
        continue;
      }
    }
    result.push_back(text[at++]);
  }
  return result;
}

std::u32string repair_segment(std::u32string text, bool unescapes) {
  while (true) {
    auto fixed = unescapes ? unescape_plain_html(text) : text;
    fixed = fix_c1_controls(fix_encoding(std::move(fixed)));
    fixed = remove_terminal_escapes(fix_line_ends(fix_characters(fixed)));
    fixed.erase(std::remove_if(fixed.begin(), fixed.end(), is_removed), fixed.end());
    fixed = compose(fixed);
    if (fixed == text) return fixed;
    text = std::move(fixed);
  }
}

}  // namespace

std::u32string repair_text(std::u32string_view text) {
  std::u32string result;
  bool unescapes = true;
  for (size_t begin = 0; begin < text.size();) {
    const size_t line = text.find(U'\n', begin);
    size_t end = line == std::u32string_view::npos ? text.size() : line + 1;
    end = std::min(end, begin + kLongestSegment);
    const auto segment = text.substr(begin, end - begin);
    if (segment.find(U'<') != std::u32string_view::npos) unescapes = false;
    result += repair_segment(std::u32string(segment), unescapes);
    begin = end;
  }
  return result;
}

}  // namespace uvic::data
