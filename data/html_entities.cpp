#include "data/html_entities.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "data/html_entity_tables.h"
#include "data/mojibake_tables.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

constexpr char32_t kReplacement = 0xfffd, kLargestCharacter = 0x10ffff;
constexpr size_t kLongestName = 32;       // that html.unescape looks at, without the semicolon
constexpr size_t kLongestPlainName = 24;  // that ftfy looks at

bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_ascii_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::optional<unsigned> digit_value(char32_t c, unsigned base) {
  if (is_digit(c)) return static_cast<unsigned>(c - '0');
  if (base == 16 && c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (base == 16 && c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

template <class Table>
const char* find_entity(const Table& table, std::u32string_view name) {
  const auto key = encode_utf8(name);
  const auto found = std::lower_bound(
      table.begin(), table.end(), key, [](const HtmlEntity& entity, const auto& k) {
        return std::strcmp(entity.name, k.c_str()) < 0;
      });
  return found != table.end() && key == found->name ? found->value : nullptr;
}

/// What a number stands for: Windows-1252 for 0x80 to 0x9f; nothing for what is no character.
std::u32string character(char32_t number) {
  if (number == 0 || number > kLargestCharacter || (number >= 0xd800 && number < 0xe000))
    return {kReplacement};
  if (number >= 0x80 && number < 0xa0) return {single_byte_encodings[1].high[number - 0x80]};
  const bool is_control =
      (number < 0x20 && number != '\t' && number != '\n' && number != '\f' && number != '\r') ||
      number == 0x7f;
  const bool is_none = (number >= 0xfdd0 && number <= 0xfdef) || (number & 0xfffe) == 0xfffe;
  if (is_control || is_none) return {};
  return {number};
}

/// A reference at the beginning of a text: how long it is, and what it becomes.
struct Reference {
  size_t length = 0;
  std::u32string value;
};

/// &#233; or &#xe9;, the semicolon is not needed. Length 0: no number.
Reference numeric(std::u32string_view text) {
  const bool is_hex = text.size() > 2 && (text[2] == 'x' || text[2] == 'X');
  const size_t begin = is_hex ? 3 : 2;
  char32_t number = 0;
  size_t at = begin;
  for (; at < text.size(); ++at) {
    const auto digit = digit_value(text[at], is_hex ? 16 : 10);
    if (!digit) break;
    number = std::min<char32_t>(number * (is_hex ? 16 : 10) + *digit, kLargestCharacter + 1);
  }
  if (at == begin) return {};
  if (at < text.size() && text[at] == ';') ++at;
  return {at, character(number)};
}

/// &eacute; or, where HTML allows it, the longest name that the text begins with. Length 0: none.
Reference named(std::u32string_view text) {
  constexpr std::u32string_view kEnds = U"\t\n\f <&#;";
  size_t end = 1;
  while (end < text.size() && end <= kLongestName &&
         kEnds.find(text[end]) == std::u32string_view::npos)
    ++end;
  if (end == 1) return {};
  if (end < text.size() && text[end] == ';') ++end;
  const auto name = text.substr(1, end - 1);
  for (size_t length = name.size(); length >= 2 || length == name.size(); --length) {
    if (const char* value = find_entity(html_entities, name.substr(0, length)))
      return {1 + length, decode_utf8(value)};
    if (length < 2) break;
  }
  return {};
}

template <class Read>
std::u32string replace_references(std::u32string_view text, Read&& read) {
  std::u32string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '&') {
      const Reference reference = read(text.substr(at));
      if (reference.length > 0) {
        result += reference.value;
        at += reference.length;
        continue;
      }
    }
    result.push_back(text[at++]);
  }
  return result;
}

}  // namespace

std::u32string unescape_html(std::u32string_view text) {
  return replace_references(text, [](std::u32string_view rest) {
    return rest.size() > 1 && rest[1] == '#' ? numeric(rest) : named(rest);
  });
}

std::u32string unescape_plain_html(std::u32string_view text) {
  return replace_references(text, [](std::u32string_view rest) -> Reference {
    const bool is_number = rest.size() > 1 && rest[1] == '#';
    const size_t begin = is_number ? 2 : 1;
    size_t end = begin;
    while (end < rest.size() && end - begin < kLongestPlainName &&
           (is_digit(rest[end]) || is_ascii_letter(rest[end])))
      ++end;
    if (end == begin || end == rest.size() || rest[end] != ';') return {};
    if (is_number) {
      const auto reference = numeric(rest.substr(0, end + 1));
      // As ftfy: what still holds a semicolon was not understood, also "&#59;".
      const bool is_whole =
          reference.length == end + 1 && reference.value.find(U';') == std::u32string::npos;
      return is_whole ? reference : Reference{};
    }
    const auto name = rest.substr(1, end);
    const char* value = find_entity(html_entities, name);
    if (!value) value = find_entity(html_entities_in_capitals, name);
    return value ? Reference{end + 1, decode_utf8(value)} : Reference{};
  });
}

}  // namespace uvic::data
