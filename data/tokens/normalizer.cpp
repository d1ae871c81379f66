// Normalizers of a tokenizer.json, as the tokenizers library applies them.
#include "data/tokens/named_part.h"
#include "data/tokens/tokenizer_parts.h"
#include "data/tokens/utf8_walk.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

using nlohmann::json;

template <NormalForm form>
Normalizer make_normal_form(const json& part, const std::string& source) {
  require_keys(part, {}, source);
  return [](std::string text) { return encode_utf8(normal_form(decode_utf8(text), form)); };
}

Normalizer make_lowercase(const json& part, const std::string& source) {
  require_keys(part, {}, source);
  return [](std::string text) { return encode_utf8(lower_each(decode_utf8(text))); };
}

Normalizer make_prepend(const json& part, const std::string& source) {
  require_keys(part, {"prepend"}, source);
  return [prefix = text_of(part, "prepend", source)](std::string text) {
    return text.empty() ? text : prefix + text;
  };
}

Normalizer make_replace(const json& part, const std::string& source) {
  require_keys(part, {"pattern", "content"}, source);
  return [find = make_pattern(part.value("pattern", json()), source),
          content = text_of(part, "content", source)](std::string text) {
    const auto matches = find(text);
    return matches.empty() ? text : replace_matches(text, matches, content);
  };
}

Normalizer make_strip(const json& part, const std::string& source) {
  require_keys(part, {"strip_left", "strip_right"}, source);
  const bool left = bool_of(part, "strip_left", true, source),
             right = bool_of(part, "strip_right", true, source);
  return [left, right](std::string text) {
    size_t begin = 0, end = text.size();
    while (left && begin < end) {
      size_t next = begin;
      if (!is_space(next_character(text, next))) break;
      begin = next;
    }
    while (right && end > begin) {
      const size_t last = previous_character(text, end);
      size_t at = last;
      if (!is_space(next_character(text, at))) break;
      end = last;
    }
    return text.substr(begin, end - begin);
  };
}

Normalizer make_normalizers(const json& part, const std::string& source) {
  require_keys(part, {"normalizers"}, source);
  std::vector<Normalizer> all;
  for (const auto& one : parts_of(part, "normalizers", source))
    all.push_back(make_normalizer(one, source));
  return in_sequence(std::move(all));
}

const base::Table<PartKind<Normalizer>>& normalizer_kinds() {
  static const base::Table<PartKind<Normalizer>> table(
      "normalizer",
      {{"NFC", "normal form C", make_normal_form<NormalForm::kC>},
       {"NFD", "normal form D", make_normal_form<NormalForm::kD>},
       {"NFKC", "normal form KC", make_normal_form<NormalForm::kKC>},
       {"NFKD", "normal form KD", make_normal_form<NormalForm::kKD>},
       {"Lowercase", "lower case of each character", make_lowercase},
       {"Prepend", "a text before every text that is not empty", make_prepend},
       {"Replace", "a pattern by a text", make_replace},
       {"Strip", "white space at the ends is left out", make_strip},
       {"Sequence", "several, one after the other", make_normalizers}});
  return table;
}

}  // namespace

Normalizer make_normalizer(const json& part, const std::string& source) {
  if (part.is_null()) return [](std::string text) { return text; };
  return make_named_part(normalizer_kinds(), "normalizer", part, source);
}

}  // namespace uvic::data
