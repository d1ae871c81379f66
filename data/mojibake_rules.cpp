#include <algorithm>
#include <vector>

#include "data/mojibake.h"
#include "data/mojibake_tables.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

/// One place of a rule: characters of some kinds, some characters by name, a class of them.
struct Place {
  enum class Also { nothing, latin_letter, lower_latin, word, space, not_latin_letter, any };

  uint32_t kinds = 0;
  std::u32string_view named = U"";
  Also also = Also::nothing;
};
using Also = Place::Also;

/// Neighbouring characters that are a sign of mojibake.
using PlaceRule = std::vector<Place>;

bool is_latin_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// White space as Python's re has it: with the separators of ASCII.
bool is_python_space(char32_t c) { return is_space(c) || (c >= 0x1c && c <= 0x1f); }

bool is_of_class(Also also, char32_t c) {
  switch (also) {
    case Also::nothing:
      return false;
    case Also::latin_letter:
      return is_latin_letter(c);
    case Also::lower_latin:
      return c >= 'a' && c <= 'z';
    case Also::word:
      return c == '_' || is_letter(c) || is_number(c);
    case Also::space:
      return is_python_space(c);
    case Also::not_latin_letter:
      return !is_latin_letter(c);
    case Also::any:
      return c != '\n';
  }
  return false;
}

bool fits(const Place& place, char32_t c, uint32_t kinds) {
  return (kinds & place.kinds) || place.named.find(c) != std::u32string_view::npos ||
         is_of_class(place.also, c);
}

constexpr uint32_t kAccented = kLowerAccented | kUpperAccented;
constexpr uint32_t kPunctuation = kOpening | kClosing;

/// Rules on kinds of characters.
std::vector<PlaceRule> rules_on_kinds() {
  constexpr uint32_t kWithBad =
      kBad | kAccented | kBox | kPunctuation | kCurrency | kNumeric | kLaw;
  return {
      {{kC1}},
      {{kWithBad}, {kBad}},
      {{0, U"", Also::latin_letter}, {kLowerCommon | kUpperCommon}, {kBad}},
      {{kBad}, {kWithBad & ~kBad}},
      {{kLowerAccented | kLowerCommon | kBox | kClosing | kCurrency | kNumeric}, {kUpperAccented}},
      {{kBox | kClosing | kCurrency | kNumeric}, {kLowerAccented}},
      {{kLowerAccented | kBox | kClosing}, {kCurrency}},
      {{0, U"", Also::space}, {kUpperAccented}, {kCurrency}},
      {{kUpperAccented | kBox}, {kNumeric | kLaw}},
      {{kAccented | kBox | kCurrency | kClosing}, {kOpening}, {kNumeric}},
      {{kAccented | kCurrency | kNumeric | kBox | kLaw}, {kClosing}, {kOpening}},
      {{kCurrency | kNumeric | kBox}, {kOpening}},
      {{0, U"", Also::lower_latin}, {kUpperAccented}, {kOpening | kCurrency}},
      {{kBox}, {kFace}},
      {{kAccented | kCurrency | kNumeric | kPunctuation | kLaw}, {kBox}},
      {{kBox}, {kClosing}},
      {{kAccented}, {kPunctuation}, {0, U"", Also::word}},
      {{kUpperAccented}, {0, U"\u00b0"}},
  };
}

/// Rules on particular characters, by the encoding that UTF-8 was read in.
std::vector<PlaceRule> rules_on_characters() {
  constexpr auto kWithArabic = kCommon | kCurrency | kBad | kNumeric | kOpening;
  constexpr std::u32string_view kMoreWithArabic = U"\u0178\u0160\u00ae\u00b0\u00b5\u00bb";
  constexpr uint32_t kWithLetters = kC1 | kBad | kPunctuation | kCurrency;
  constexpr std::u32string_view kA = U"\u00c3\u00c2";  // A with tilde, A with circumflex
  return {
      // Windows-1252
      {{0, U"\u0152\u0153"}, {0, U"", Also::not_latin_letter}},
      {{0, U"\u00c2\u00c3\u00ce\u00d0"},
       {kPunctuation,
        U"\u20ac\u0153\u0160\u0161\u00a2\u00a3\u0178\u017e\u00a0\u00ad\u00ae\u00a9\u00b0\u00b7"
        U"\u00bb\u2013\u2014\u00b4"}},
      {{0, U"\u00d7"}, {0, U"\u00b2\u00b3"}},
      {{0, U"\u00d8\u00d9"},
       {kWithArabic, kMoreWithArabic},
       {0, U"\u00d8\u00d9"},
       {kWithArabic, kMoreWithArabic}},
      {{0, U"\u00e0"}, {0, U"\u00b2\u00b5\u00b9\u00bc\u00bd\u00be"}},
      {{0, U"\u00c3"}, {0, U"\u00a0\u00a1"}},
      {{0, U"", Also::lower_latin}, {0, kA}, {0, U" "}},
      {{0, U"", Also::lower_latin}, {0, U"", Also::space}, {0, kA}, {0, U" "}},
      {{kClosing, U".,?!", Also::lower_latin}, {0, U"\u00c2"}, {kPunctuation, U" "}},
      // MacRoman
      {{0, U"\u221a"},
       {0, U"\u00b1\u2202\u2020\u2260\u00ae\u2122\u00b4\u2264\u2265\u00a5\u00b5\u00f8"}},
      {{0, U"\u2248"}, {0, U"\u00b0\u00a2"}},
      {{0, U"\u201a"},
       {0, U"\u00c4"},
       {0, U"\u00ec\u00ee\u00ef\u00f2\u00f4\u00fa\u00f9\u00fb\u2020\u00b0\u00a2\u03c0"}},
      {{0, U"\u201a"}, {0, U"\u00e2\u00f3"}, {0, U"\u00e0\u00e4\u00b0\u00ea"}},
      // Windows-1251
      {{0, U"\u0432"}, {0, U"\u0402"}},
      {{0, U"\u0412\u0413\u0420\u0421"},
       {kWithLetters, U"\u00b0\u00b5"},
       {0, U"\u0412\u0413\u0420\u0421"}},
      {{0, U"\u0413"},
       {0, U"\u045e"},
       {0, U"\u0412"},
       {0, U"\u0402"},
       {0, U"\u0412"},
       {0, U"", Also::any},
       {0, U" ", Also::latin_letter}},
      // Windows-1253
      {{0, U"\u03b2"}, {0, U"\u20ac"}, {0, U"\u2122\u00a0\u0386\u00ad\u00ae\u00b0"}},
      {{0, U"\u0392\u0393\u039e\u039f"},
       {kWithLetters, U"\u00b0"},
       {0, U"\u0392\u0393\u039e\u039f"}},
      // Windows-1257
      {{0, U"\u0101"}, {0, U"\u20ac"}},
  };
}

const std::vector<PlaceRule>& rules() {
  static const auto all = [] {
    auto both = rules_on_kinds();
    for (auto& rule : rules_on_characters()) both.push_back(std::move(rule));
    return both;
  }();
  return all;
}

}  // namespace

std::vector<uint32_t> kinds_of(std::u32string_view text) {
  std::vector<uint32_t> kinds(text.size(), 0);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] < 0x80 && text[i] != U' ') continue;
    const auto found = std::lower_bound(
        character_kinds.begin(),
        character_kinds.end(),
        text[i],
        [](const CharacterKinds& known, char32_t c) { return known.code_point < c; });
    if (found != character_kinds.end() && found->code_point == text[i]) kinds[i] = found->kinds;
  }
  return kinds;
}

bool looks_like_mojibake(std::u32string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < 0x80; })) return false;
  // The only rule about the beginning of a text.
  if (text.size() >= 2 && (text[0] == U'\u00c3' || text[0] == U'\u00c2') && text[1] == U' ')
    return true;
  const auto kinds = kinds_of(text);
  const auto holds_at = [&](const PlaceRule& rule, size_t at) {
    if (text.size() - at < rule.size()) return false;
    for (size_t i = 0; i < rule.size(); ++i)
      if (!fits(rule[i], text[at + i], kinds[at + i])) return false;
    return true;
  };
  for (size_t at = 0; at < text.size(); ++at)
    for (const auto& rule : rules())
      if (holds_at(rule, at)) return true;
  return false;
}

}  // namespace uvic::data
