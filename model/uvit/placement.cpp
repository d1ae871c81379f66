#include "model/uvit/placement.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <sstream>
#include <stdexcept>

namespace uvic::model {
namespace {

int64_t parse_block(const std::string& text, const std::string& rule, int64_t blocks) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text[0] == '-')
    throw std::invalid_argument(
        fmt::format("model.placement: unknown rule {}; choose {}, or a list of blocks as 1-5,7",
                    rule,
                    fmt::join(placement_rules().names(), ", ")));
  if (value < 0 || value >= blocks)
    throw std::invalid_argument(
        fmt::format("model.placement: {} names block {}, the model has blocks 0 to {}",
                    rule,
                    value,
                    blocks - 1));
  return value;
}

}  // namespace

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
  std::istringstream list(rule + ",");
  for (std::string item; std::getline(list, item, ',');) {
    const auto dash = item.find('-');
    const int64_t first = parse_block(item.substr(0, dash), rule, blocks);
    const int64_t last =
        dash == std::string::npos ? first : parse_block(item.substr(dash + 1), rule, blocks);
    if (last < first)
      throw std::invalid_argument(
          fmt::format("model.placement: range {} runs backwards; write {}-{}", item, last, first));
    for (int64_t i = first; i <= last; ++i) picked[i] = true;
  }
  return picked;
}

}  // namespace uvic::model
