// Pre-tokenizers of a tokenizer.json, which cut a text into words, as the tokenizers library has
// them.
#include "data/tokens/named_part.h"
#include "data/tokens/tokenizer_parts.h"
#include "data/tokens/utf8_walk.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

using nlohmann::json;

// GPT-2's words.
constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// A stretch of a text, and whether it is one that a pattern found.
struct Stretch {
  TextRange range;
  bool is_match = false;
};

/// What becomes of the stretches: a row for each SplitDelimiterBehavior of the library.
using Arrange = std::vector<TextRange> (*)(const std::vector<Stretch>&);

std::vector<TextRange> isolated(const std::vector<Stretch>& all) {
  std::vector<TextRange> ranges;
  for (const auto& one : all) ranges.push_back(one.range);
  return ranges;
}

std::vector<TextRange> removed(const std::vector<Stretch>& all) {
  std::vector<TextRange> ranges;
  for (const auto& one : all)
    if (!one.is_match) ranges.push_back(one.range);
  return ranges;
}

std::vector<TextRange> contiguous(const std::vector<Stretch>& all) {
  std::vector<TextRange> ranges;
  bool previous = false;
  for (const auto& one : all) {
    if (one.is_match == previous && !ranges.empty())
      ranges.back().end = one.range.end;
    else
      ranges.push_back(one.range);
    previous = one.is_match;
  }
  return ranges;
}

std::vector<TextRange> merged_with_previous(const std::vector<Stretch>& all) {
  std::vector<TextRange> ranges;
  bool previous = false;
  for (const auto& one : all) {
    if (one.is_match && !previous && !ranges.empty())
      ranges.back().end = one.range.end;
    else
      ranges.push_back(one.range);
    previous = one.is_match;
  }
  return ranges;
}

std::vector<TextRange> merged_with_next(const std::vector<Stretch>& all) {
  std::vector<TextRange> ranges;
  bool next = false;
  for (auto one = all.rbegin(); one != all.rend(); ++one) {
    if (one->is_match && !next && !ranges.empty())
      ranges.back().begin = one->range.begin;
    else
      ranges.push_back(one->range);
    next = one->is_match;
  }
  return {ranges.rbegin(), ranges.rend()};
}

struct Behavior {
  const char* name;
  const char* help;
  Arrange arrange;
};

const base::Table<Behavior>& behaviors() {
  static const base::Table<Behavior> table(
      "behavior",
      {{"Isolated", "a match is a word", isolated},
       {"Removed", "a match is left out", removed},
       {"Contiguous", "neighbouring matches are one word", contiguous},
       {"MergedWithPrevious", "a match ends a word", merged_with_previous},
       {"MergedWithNext", "a match begins a word", merged_with_next}});
  return table;
}

Arrange behavior_of(const json& part, const char* otherwise, const std::string& source) {
  const auto name = part.contains("behavior") ? text_of(part, "behavior", source) : otherwise;
  const auto* found = behaviors().find(name);
  if (!found)
    throw formats::file_error(source, fmt::format("the behavior {} is not understood", name));
  return found->arrange;
}

/// Cuts every section at the matches; empty words are left out.
template <class Find>
std::vector<TextSection> split(std::vector<TextSection> sections,
                               const Find& find,
                               Arrange arrange,
                               bool invert = false) {
  std::vector<TextSection> words;
  std::vector<Stretch> stretches;
  for (auto& section : sections) {
    stretches.clear();
    size_t at = 0;
    for (const auto& match : find(section.text)) {
      if (match.begin > at) stretches.push_back({{at, match.begin}, invert});
      stretches.push_back({match, !invert});
      at = match.end;
    }
    if (at < section.text.size()) stretches.push_back({{at, section.text.size()}, invert});
    for (const auto& [begin, end] : arrange(stretches))
      if (begin < end)
        words.push_back({section.text.substr(begin, end - begin), section.is_first && begin == 0});
  }
  return words;
}

/// Every character with the property, alone.
template <bool (*has_property)(char32_t)>
std::vector<TextRange> characters_with(const std::string& text) {
  std::vector<TextRange> found;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (has_property(next_character(text, at))) found.push_back({begin, at});
  }
  return found;
}

PreTokenizer make_byte_level(const json& part, const std::string& source) {
  // trim_offsets moves offsets into the text, and no ids.
  require_keys(part, {"add_prefix_space", "trim_offsets", "use_regex"}, source);
  const bool prefix = bool_of(part, "add_prefix_space", true, source);
  const bool words = bool_of(part, "use_regex", true, source);
  const auto regex = std::make_shared<Regex>(kByteLevelPattern, source);
  return [prefix, words, regex](std::vector<TextSection> sections) {
    if (prefix)
      for (auto& section : sections)
        if (!section.text.empty() && section.text[0] != ' ') section.text.insert(0, 1, ' ');
    if (words)
      sections = split(
          std::move(sections),
          [&](const std::string& text) { return regex->find_all(text); },
          isolated);
    for (auto& section : sections) {
      std::string symbols;
      for (const char c : section.text) symbols += byte_symbol(static_cast<unsigned char>(c));
      section.text = std::move(symbols);
    }
    return sections;
  };
}

PreTokenizer make_split(const json& part, const std::string& source) {
  require_keys(part, {"pattern", "behavior", "invert"}, source);
  return [find = make_pattern(part.value("pattern", json()), source),
          arrange = behavior_of(part, "", source),
          invert = bool_of(part, "invert", false, source)](std::vector<TextSection> sections) {
    return split(std::move(sections), find, arrange, invert);
  };
}

PreTokenizer make_digits(const json& part, const std::string& source) {
  require_keys(part, {"individual_digits"}, source);
  const auto arrange = bool_of(part, "individual_digits", false, source) ? isolated : contiguous;
  return [arrange](std::vector<TextSection> sections) {
    return split(std::move(sections), characters_with<is_number>, arrange);
  };
}

PreTokenizer make_punctuation(const json& part, const std::string& source) {
  require_keys(part, {"behavior"}, source);
  return [arrange = behavior_of(part, "Isolated", source)](std::vector<TextSection> sections) {
    return split(std::move(sections), characters_with<is_punctuation>, arrange);
  };
}

PreTokenizer make_whitespace_split(const json& part, const std::string& source) {
  require_keys(part, {}, source);
  return [](std::vector<TextSection> sections) {
    return split(std::move(sections), characters_with<is_space>, removed);
  };
}

PreTokenizer make_metaspace(const json& part, const std::string& source) {
  require_keys(
      part, {"replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"}, source);
  const auto mark = text_of(part, "replacement", source);
  auto scheme = part.contains("prepend_scheme") ? text_of(part, "prepend_scheme", source)
                                                : std::string("always");
  if (!bool_of(part, "add_prefix_space", true, source)) scheme = "never";
  if (mark.empty() || (scheme != "always" && scheme != "first" && scheme != "never"))
    throw formats::file_error(source,
                              fmt::format("the prepend_scheme {} is not understood", scheme));
  const bool cut = bool_of(part, "split", true, source);
  const auto blanks = make_pattern(" ", source), marks = make_pattern(mark, source);
  return [=](std::vector<TextSection> sections) {
    for (auto& section : sections) {
      section.text = replace_matches(section.text, blanks(section.text), mark);
      const bool wants = scheme == "always" || (scheme == "first" && section.is_first);
      if (wants && section.text.compare(0, mark.size(), mark) != 0) section.text.insert(0, mark);
    }
    return cut ? split(std::move(sections), marks, merged_with_next) : sections;
  };
}

PreTokenizer make_pre_tokenizers(const json& part, const std::string& source) {
  require_keys(part, {"pretokenizers"}, source);
  std::vector<PreTokenizer> all;
  for (const auto& one : parts_of(part, "pretokenizers", source))
    all.push_back(make_pre_tokenizer(one, source));
  return in_sequence(std::move(all));
}

const base::Table<PartKind<PreTokenizer>>& pre_tokenizer_kinds() {
  static const base::Table<PartKind<PreTokenizer>> table(
      "pre-tokenizer",
      {{"ByteLevel", "GPT-2's words, bytes as characters", make_byte_level},
       {"Split", "at the matches of a pattern", make_split},
       {"Digits", "digits apart", make_digits},
       {"Punctuation", "punctuation apart", make_punctuation},
       {"WhitespaceSplit", "at white space", make_whitespace_split},
       {"Metaspace", "blanks as U+2581, which begins a word", make_metaspace},
       {"Sequence", "several, one after the other", make_pre_tokenizers}});
  return table;
}

}  // namespace

PreTokenizer make_pre_tokenizer(const json& part, const std::string& source) {
  if (part.is_null()) return [](std::vector<TextSection> sections) { return sections; };
  return make_named_part(pre_tokenizer_kinds(), "pre-tokenizer", part, source);
}

}  // namespace uvic::data
