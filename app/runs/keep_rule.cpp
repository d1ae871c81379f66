#include "app/runs/keep_rule.h"

#include <vector>

#include "app/options/options.h"
#include "base/check.h"
#include "base/list_text.h"

namespace uvic::app {
namespace {

/// A count as options take it; 0 where the word is none.
int64_t count_of_word(std::string word) {
  if (word.empty() || !detail::plain_count(word).empty()) return 0;
  return std::stoll(word);
}

}  // namespace

KeepRule parse_keep(const std::string& words) {
  KeepRule rule;
  if (words == "all") return rule;
  rule.all = false;
  for (const auto& word : base::list_items(words)) {
    const auto colon = word.find(':');
    const auto kind = word.substr(0, colon);
    const auto count = colon == std::string::npos ? 0 : count_of_word(word.substr(colon + 1));
    base::require((kind == "best" || kind == "every") && count > 0,
                  "--keep {}: give all, best:N, every:IMAGES, or both with a comma",
                  words);
    (kind == "best" ? rule.best : rule.every) = count;
  }
  base::require(rule.best + rule.every > 0,
                "--keep {}: give all, best:N, every:IMAGES, or both with a comma",
                words);
  return rule;
}

}  // namespace uvic::app
