// What is known of one option besides its name and value: help, allowed values, how often it is
// needed. fields() of an options struct gives one for each member.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "base/table.h"

namespace uvic::base {

/// Numbers from low to high. NaN is never inside; an infinite bound is never a value itself unless
/// `infinite` says so.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool without_low = false, without_high = false;  ///< the bound itself is outside
  bool infinite = false;                           ///< +inf is a value with a documented meaning

  bool holds(double value) const;
  /// "1 or more", "from 0 to 1", "above 0".
  std::string text() const;
};

inline Range from(double low) { return {low}; }
inline Range from(double low, double high) { return {low, high}; }
inline Range above(double low) {
  Range range{low};
  range.without_low = true;
  return range;
}
/// low < value <= high
inline Range above(double low, double high) {
  Range range{low, high};
  range.without_low = true;
  return range;
}
/// low <= value < high
inline Range below(double low, double high) {
  Range range{low, high};
  range.without_high = true;
  return range;
}
/// low < value < high
inline Range inside(double low, double high) {
  Range range{low, high};
  range.without_low = range.without_high = true;
  return range;
}

/// Counts, and seeds: whole numbers that int64 holds exactly in a double.
constexpr double kMostCount = 9007199254740992.0;  // 2^53
/// Images in memory at once, threads, frames: what a machine can hold.
constexpr double kMostAtOnce = 1 << 24;

class Field {
 public:
  Field(const char* help) : help_(help) {}             // NOLINT
  Field(std::string help) : help_(std::move(help)) {}  // NOLINT
  Field(std::string help, Range range) : help_(std::move(help)), range_(range) {}
  Field(std::string help, std::vector<Choice> choices)
      : help_(std::move(help)), choices_(std::move(choices)) {}

  /// Shown by --help_all alone.
  Field advanced() && {
    advanced_ = true;
    return std::move(*this);
  }
  /// Advanced, and read by these alone, as "heun": a group of its own in --help_all.
  Field read_by(std::string readers) && {
    advanced_ = true;
    readers_ = std::move(readers);
    return std::move(*this);
  }
  /// Words that are values besides the choices, as a list of blocks is.
  Field or_else() && {
    open_ = true;
    return std::move(*this);
  }

  bool is_advanced() const { return advanced_; }
  const std::string& readers() const { return readers_; }
  const std::vector<Choice>& choices() const { return choices_; }

  /// Help, choices and range in one text.
  std::string text() const;

  /// Throws std::invalid_argument that names option, value and what is allowed.
  void check(const std::string& name, double value) const;
  void check(const std::string& name, int64_t value) const;
  void check(const std::string& name, const std::string& value) const;
  void check(const std::string&, bool) const {}
  void check(const std::string&, const std::vector<std::string>&) const {}

 private:
  std::string help_;
  std::optional<Range> range_;
  std::vector<Choice> choices_;
  std::string readers_;
  bool advanced_ = false, open_ = false;
};

/// Fields that several commands have.
inline Field device_field() {
  return {"Device", {{"auto", "a GPU where there is one"}, {"cpu", ""}, {"cuda", ""}}};
}
inline Field threads_field() {
  return Field{"Threads for tensor work; 0: all usable cores", from(0, 65536)}.advanced();
}
inline Field precision_field(std::string of) {
  return {std::move(of),
          {{"auto", "bf16 where the hardware multiplies it faster"}, {"bf16", ""}, {"fp32", ""}}};
}
inline Field kernels_field() {
  return Field{"Kernels",
               {{"fused", ""}, {"plain", "the definitions in plain tensor code, to compare with"}}}
      .advanced();
}

/// Whether T is a struct with fields().
struct AnyVisitor {
  template <class Value>
  void operator()(const char*, Value&, const Field&) const {}
};
template <class T, class = void>
struct has_fields : std::false_type {};
template <class T>
struct has_fields<T, std::void_t<decltype(std::declval<T&>().fields(AnyVisitor{}))>>
    : std::true_type {};

/// Visits every leaf of a struct and of the structs inside it with its dotted name:
/// visit("model.depth", value, field).
template <class Config, class Visitor>
void visit_leaves(Config& config, Visitor&& visit, const std::string& prefix = "") {
  config.fields([&](const char* name, auto& value, const Field& field) {
    if constexpr (has_fields<std::decay_t<decltype(value)>>::value)
      visit_leaves(value, visit, prefix + name + ".");
    else
      visit(prefix + name, value, field);
  });
}

/// Every number in its range, every word one of its choices. Throws std::invalid_argument at the
/// first that is not, under its dotted name with `prefix` before it.
template <class Config>
void check_fields(Config config, const std::string& prefix = "") {
  visit_leaves(
      config,
      [](const std::string& name, auto& value, const Field& field) {
        using Value = std::decay_t<decltype(value)>;
        if constexpr (std::is_integral_v<Value> && !std::is_same_v<Value, bool>)
          field.check(name, static_cast<int64_t>(value));
        else
          field.check(name, value);
      },
      prefix);
}

}  // namespace uvic::base
