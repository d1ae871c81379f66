// The description of one option: help, allowed values, and whether it is an advanced option.
// fields() of an options struct has one for each member.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/table.h"

namespace uvic::base {

/// Numbers from low to high. NaN is never inside. Infinity is inside only if `infinite` is set.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool without_low = false, without_high = false;  ///< the bound is excluded
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

/// The largest count or seed: integers up to here are exact in a double.
constexpr double kMostCount = 9007199254740992.0;  // 2^53
/// The largest number of images, threads or frames in memory at the same time.
constexpr double kMostAtOnce = 1 << 24;

class Field {
 public:
  Field(const char* help) : help_(help) {}             // NOLINT
  Field(std::string help) : help_(std::move(help)) {}  // NOLINT
  Field(std::string help, Range range) : help_(std::move(help)), range_(range) {}
  Field(std::string help, std::vector<Choice> choices)
      : help_(std::move(help)), choices_(std::move(choices)) {}

  /// Shown by --help_all only.
  Field advanced() && {
    advanced_ = true;
    return std::move(*this);
  }
  /// Advanced, and used only with the given values of another option, such as "heun". Such fields
  /// are a separate group in --help_all.
  Field read_by(std::string readers) && {
    advanced_ = true;
    readers_ = std::move(readers);
    return std::move(*this);
  }
  /// Accepts other words besides the choices, such as a list of blocks.
  Field or_else() && {
    open_ = true;
    return std::move(*this);
  }

  bool is_advanced() const { return advanced_; }
  const std::string& readers() const { return readers_; }
  const std::vector<Choice>& choices() const { return choices_; }

  /// Help, choices and range as one text.
  std::string text() const;

  /// Throws std::invalid_argument that names the option, the value and the allowed values.
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

/// Fields that several commands share.
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

/// Whether T has fields().
struct AnyVisitor {
  template <class Value>
  void operator()(const char*, Value&, const Field&) const {}
};
template <class T, class = void>
struct has_fields : std::false_type {};
template <class T>
struct has_fields<T, std::void_t<decltype(std::declval<T&>().fields(AnyVisitor{}))>>
    : std::true_type {};

/// A member of an options struct, or of a struct inside it, that has no fields() itself.
struct Leaf {
  using Value = std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*>;
  std::string name;  ///< dotted: "model.depth"
  Value value;
  Field field;

  /// The value as fmt writes it, a list joined by commas.
  std::string text() const;
};

namespace detail {
void append_leaf(std::vector<Leaf>& leaves, const char* name, Leaf::Value value, Field field);
void append_leaves(std::vector<Leaf>& leaves, const char* name, std::vector<Leaf> inside);
}  // namespace detail

/// The leaves of a struct and of the structs inside it, in order. Points into `config`.
///
/// What fields() compiles to grows with the number of options. Everything that goes over options
/// does so over these, so that it compiles once for each struct; large structs have theirs compiled
/// in one file (extern template).
template <class Config>
std::vector<Leaf> leaves_of(Config& config) {
  std::vector<Leaf> leaves;
  config.fields([&](const char* name, auto& value, Field field) {
    if constexpr (has_fields<std::decay_t<decltype(value)>>::value)
      detail::append_leaves(leaves, name, leaves_of(value));
    else
      detail::append_leaf(leaves, name, &value, std::move(field));
  });
  return leaves;
}

/// Visits every leaf, with its dotted name: visit("model.depth", value, field).
template <class Config, class Visitor>
void visit_leaves(Config& config, Visitor&& visit) {
  for (const auto& leaf : leaves_of(config))
    std::visit([&](auto* value) { visit(leaf.name, *value, leaf.field); }, leaf.value);
}

/// Checks that every number is in its range and every word is one of its choices. Throws
/// std::invalid_argument for the first that is not, with `prefix` and its dotted name.
void check_leaves(const std::vector<Leaf>& leaves, const std::string& prefix);
template <class Config>
void check_fields(Config config, const std::string& prefix = "") {
  check_leaves(leaves_of(config), prefix);
}

}  // namespace uvic::base
