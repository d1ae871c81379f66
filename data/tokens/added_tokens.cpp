#include "data/tokens/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "data/formats/file_error.h"
#include "data/tokens/utf8_walk.h"
#include "data/unicode_text.h"

namespace uvic::data {
namespace {

using nlohmann::json;

/// Where the white space that ends before `end` begins, not before `least`.
size_t spaces_before(const std::string& text, size_t end, size_t least) {
  while (end > least) {
    const size_t begin = previous_character(text, end);
    size_t at = begin;
    if (!is_space(next_character(text, at))) break;
    end = begin;
  }
  return end;
}

size_t spaces_behind(const std::string& text, size_t begin) {
  while (begin < text.size()) {
    size_t at = begin;
    if (!is_space(next_character(text, at))) break;
    begin = at;
  }
  return begin;
}

}  // namespace

std::vector<AddedTokenRule> read_added_tokens(const json& file,
                                              const Normalizer& normalizer,
                                              const std::string& source) {
  std::vector<AddedTokenRule> rules;
  const auto list = file.value("added_tokens", json::array());
  if (list.is_null()) return rules;
  for (const auto& entry : list) {
    if (!entry.is_object() || !entry.contains("content") || !entry["content"].is_string() ||
        entry["content"] == "" || !entry.contains("id") || !entry["id"].is_number_integer() ||
        entry["id"] < 0 || entry["id"] >= std::numeric_limits<int32_t>::max() / 2)
      throw formats::file_error(source, "an entry of added_tokens has no content or no id");
    if (bool_of(entry, "single_word", false, source))
      throw formats::file_error(
          source,
          fmt::format("the added token {} is a single_word, which is not understood",
                      entry["content"].dump()));
    AddedTokenRule rule;
    rule.text = entry["content"].get<std::string>();
    rule.id = entry["id"].get<int32_t>();
    rule.is_special = bool_of(entry, "special", false, source);
    rule.normalized = bool_of(entry, "normalized", !rule.is_special, source);
    rule.strips_left = bool_of(entry, "lstrip", false, source);
    rule.strips_right = bool_of(entry, "rstrip", false, source);
    if (rule.normalized) rule.text = normalizer(rule.text);
    rules.push_back(std::move(rule));
  }
  return rules;
}

AddedTokenFinder::AddedTokenFinder(std::vector<AddedTokenRule> rules) : rules_(std::move(rules)) {
  std::stable_sort(rules_.begin(), rules_.end(), [](const auto& a, const auto& b) {
    return a.text.size() > b.text.size();
  });
  for (size_t i = 0; i < rules_.size(); ++i)
    if (!rules_[i].text.empty())
      rules_by_first_byte_[static_cast<unsigned char>(rules_[i].text[0])].push_back(i);
}

std::vector<AddedTokenFinder::Found> AddedTokenFinder::find_all(const std::string& text) const {
  std::vector<Found> all;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const auto& candidates = rules_by_first_byte_[static_cast<unsigned char>(text[at])];
    const auto found = std::find_if(candidates.begin(), candidates.end(), [&](size_t i) {
      return text.compare(at, rules_[i].text.size(), rules_[i].text) == 0;
    });
    if (found == candidates.end()) {
      ++at;
      continue;
    }
    const auto& rule = rules_[*found];
    TextRange range{at, at + rule.text.size()};
    at = range.end;
    // White space that the token before has taken is not taken twice.
    range.begin = std::max(range.begin, done);
    if (rule.strips_left) range.begin = spaces_before(text, range.begin, done);
    if (rule.strips_right) range.end = spaces_behind(text, range.end);
    all.push_back({range, rule.id});
    done = range.end;
  }
  return all;
}

}  // namespace uvic::data
