#include "base/field.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>

namespace uvic::base {
namespace {

std::string number_text(double value) {
  return value == std::floor(value) && std::abs(value) < 1e15 ? fmt::format("{:.0f}", value)
                                                              : fmt::format("{:g}", value);
}

[[noreturn]] void refuse(const std::string& name,
                         const std::string& value,
                         const std::string& wanted) {
  throw std::invalid_argument(fmt::format("--{} {}: give {}", name, value, wanted));
}

}  // namespace

bool Range::holds(double value) const {
  if (std::isnan(value)) return false;
  if (std::isinf(value)) return value > 0 && infinite;
  return (without_low ? value > low : value >= low) &&
         (without_high ? value < high : value <= high);
}

std::string Range::text() const {
  const bool has_low = std::isfinite(low), has_high = std::isfinite(high) && high < kMostCount;
  if (!has_low && !has_high) return "a finite number";
  if (!has_high)
    return (without_low ? "a number above " : "") + number_text(low) +
           (without_low ? "" : " or more");
  if (!has_low)
    return (without_high ? "a number below " : "") + number_text(high) +
           (without_high ? "" : " or less");
  if (without_low || without_high)
    return fmt::format("a number in {}{}, {}{}",
                       without_low ? "(" : "[",
                       number_text(low),
                       number_text(high),
                       without_high ? ")" : "]");
  return fmt::format("a number from {} to {}", number_text(low), number_text(high));
}

std::string Field::text() const {
  auto text = help_;
  if (!choices_.empty()) {
    std::vector<std::string> names;
    for (const auto& choice : choices_)
      if (!choice.name.empty())
        names.push_back(choice.name);  // help_ says what an empty word means
    text += fmt::format("{}{}", text.empty() ? "" : ": ", fmt::join(names, " | "));
  }
  // Bounds that only keep nonsense out are for errors, not for help.
  if (range_ && range_->high <= 100) text += fmt::format(" ({})", range_->text());
  return text;
}

void Field::check(const std::string& name, double value) const {
  const Range range = range_.value_or(Range{});
  if (!range.holds(value)) refuse(name, fmt::format("{}", value), range.text());
}

void Field::check(const std::string& name, int64_t value) const {
  const Range range = range_.value_or(Range{});
  if (!range.holds(static_cast<double>(value)))
    refuse(name, fmt::format("{}", value), range.text());
}

void Field::check(const std::string& name, const std::string& value) const {
  if (choices_.empty() || open_) return;
  std::vector<std::string> names;
  for (const auto& choice : choices_) {
    if (choice.name == value) return;
    if (!choice.name.empty()) names.push_back(choice.name);
  }
  refuse_name(name, value, names);
}

namespace detail {

void append_leaf(std::vector<Leaf>& leaves, const char* name, Leaf::Value value, Field field) {
  leaves.push_back({name, value, std::move(field)});
}

void append_leaves(std::vector<Leaf>& leaves, const char* name, std::vector<Leaf> inside) {
  for (auto& leaf : inside)
    leaves.push_back({fmt::format("{}.{}", name, leaf.name), leaf.value, std::move(leaf.field)});
}

}  // namespace detail

std::string Leaf::text() const {
  return std::visit(
      [](const auto* of) {
        if constexpr (std::is_same_v<decltype(of), const std::vector<std::string>*>)
          return fmt::format("{}", fmt::join(*of, ","));
        else
          return fmt::format("{}", *of);
      },
      value);
}

void check_leaves(const std::vector<Leaf>& leaves, const std::string& prefix) {
  for (const auto& leaf : leaves)
    std::visit([&](const auto* value) { leaf.field.check(prefix + leaf.name, *value); },
               leaf.value);
}

}  // namespace uvic::base
