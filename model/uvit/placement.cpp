#include "model/uvit/placement.h"

#include <fmt/format.h>

#include <charconv>
#include <sstream>
#include <stdexcept>

namespace uvic::model {
namespace {

int64_t parse_block(const std::string& text, const std::string& rule, int64_t blocks) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text[0] == '-')
    throw std::invalid_argument(fmt::format(
        "model.placement: unknown rule {}; choose inner, all, none, or a list of blocks as 1-5,7",
        rule));
  if (value < 0 || value >= blocks)
    throw std::invalid_argument(
        fmt::format("model.placement: {} names block {}, the model has blocks 0 to {}",
                    rule,
                    value,
                    blocks - 1));
  return value;
}

}  // namespace

std::vector<bool> place_attention(const std::string& rule, int64_t blocks) {
  std::vector<bool> picked(blocks, rule == "all" || rule == "inner");
  if (rule == "all" || rule == "none") return picked;
  if (rule == "inner") {
    picked.front() = picked.back() = false;
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
