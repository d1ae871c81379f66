#include "data/brace_range.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace uvic::data {
namespace {

std::optional<uint64_t> bound_of(std::string_view digits) {
  uint64_t value = 0;
  const auto* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (digits.empty() || error != std::errc() || stop != end) return std::nullopt;
  return value;
}

/// What one pair of braces means, or nothing where it is neither a range nor a list.
std::vector<std::string> alternatives(std::string_view inside, size_t limit) {
  std::vector<std::string> result;
  if (const auto dots = inside.find(".."); dots != std::string_view::npos) {
    const auto first_digits = inside.substr(0, dots);
    const auto first = bound_of(first_digits), last = bound_of(inside.substr(dots + 2));
    if (!first || !last) return {};
    const uint64_t count = *first <= *last ? *last - *first : *first - *last;
    if (count >= limit)
      throw std::invalid_argument(
          fmt::format("{{{}}}: a range of more than {} names", inside, limit));
    for (uint64_t i = 0; i <= count; ++i)
      result.push_back(
          fmt::format("{:0{}}", *first <= *last ? *first + i : *first - i, first_digits.size()));
    return result;
  }
  if (inside.find(',') == std::string_view::npos) return {};
  for (size_t begin = 0; begin <= inside.size();) {
    const auto end = std::min(inside.find(',', begin), inside.size());
    result.emplace_back(inside.substr(begin, end - begin));
    begin = end + 1;
  }
  return result;
}

}  // namespace

std::vector<std::string> expand_braces(const std::string& pattern, size_t limit) {
  for (size_t open = pattern.find('{'); open != std::string::npos;
       open = pattern.find('{', open + 1)) {
    const auto close = pattern.find('}', open);
    if (close == std::string::npos) break;
    const auto inside = std::string_view(pattern).substr(open + 1, close - open - 1);
    const auto choices = alternatives(inside, limit);
    if (choices.empty()) continue;
    const auto rest = expand_braces(pattern.substr(close + 1), limit);
    if (choices.size() > limit / rest.size())
      throw std::invalid_argument(fmt::format("{}: more than {} names", pattern, limit));
    const auto before = pattern.substr(0, open);
    std::vector<std::string> names;
    for (const auto& choice : choices)
      for (const auto& ending : rest)
        names.push_back(fmt::format("{}{}{}", before, choice, ending));
    return names;
  }
  return {pattern};
}

}  // namespace uvic::data
