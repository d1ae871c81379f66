#include "model/uvit/placement.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/list_text.h"

namespace uvic::model {
base::Table<PlacementRule>& placement_rules() {
  static base::Table<PlacementRule> rules(
      "model.placement",
      {
          {"inner",
           "all but the first and the last, as in the published U-ViC",
           [](int64_t block, int64_t blocks) { return block > 0 && block < blocks - 1; }},
          {"all", "every block", [](int64_t, int64_t) { return true; }},
          {"none", "no block", [](int64_t, int64_t) { return false; }},
      });
  return rules;
}

std::vector<bool> place_attention(const std::string& rule, int64_t blocks) {
  std::vector<bool> picked(static_cast<size_t>(blocks), false);
  if (const auto* word = placement_rules().find(rule)) {
    for (int64_t i = 0; i < blocks; ++i) picked[static_cast<size_t>(i)] = word->picks(i, blocks);
    return picked;
  }
  const auto wanted = fmt::format("choose {}, or a list of blocks as 1-5,7",
                                  fmt::join(placement_rules().names(), ", "));
  for (const auto block : base::parse_ranges("model.placement", rule, blocks, wanted))
    picked[static_cast<size_t>(block)] = true;
  return picked;
}

}  // namespace uvic::model
