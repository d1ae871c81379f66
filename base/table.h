// Tables of named rows. A sampler, a schedule or a metric is one row, and all code that lists,
// checks or dispatches on its name reads the rows.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <deque>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace uvic::base {

/// One allowed value of a word, and its meaning.
struct Choice {
  std::string name, help;
};

/// Throws std::invalid_argument for an unknown word.
[[noreturn]] inline void refuse_name(const std::string& what,
                                     std::string_view name,
                                     const std::vector<std::string>& known) {
  throw std::invalid_argument(
      fmt::format("{}: unknown value \"{}\"; give one of {}", what, name, fmt::join(known, ", ")));
}

/// `Row` has members `name` and `help` that convert to std::string.
template <class Row>
class Table {
 public:
  /// `what` names the option in errors: "sampler".
  Table(std::string what, std::initializer_list<Row> rows) : what_(std::move(what)), rows_(rows) {}

  auto begin() const { return rows_.begin(); }
  auto end() const { return rows_.end(); }
  size_t size() const { return rows_.size(); }

  const Row* find(std::string_view name) const {
    const auto found =
        std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) { return name == row.name; });
    return found == rows_.end() ? nullptr : &*found;
  }

  /// The row with that name. Throws std::invalid_argument that lists the names.
  const Row& at(std::string_view name) const {
    const auto* row = find(name);
    if (!row) refuse_name(what_, name, names());
    return *row;
  }

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& row : rows_) all.emplace_back(row.name);
    return all;
  }

  /// Names and help, for help texts and for the check of an option.
  std::vector<Choice> choices() const {
    std::vector<Choice> all;
    for (const auto& row : rows_) all.push_back({row.name, row.help});
    return all;
  }

  /// Adds a row for the lifetime of the result, for tests and for programs that use this library.
  /// No other thread may read the table at the same time.
  class Added {
   public:
    Added(Table& table, Row row) : table_(table) { table_.rows_.push_back(std::move(row)); }
    ~Added() { table_.rows_.pop_back(); }
    Added(const Added&) = delete;
    Added& operator=(const Added&) = delete;

   private:
    Table& table_;
  };
  Added with(Row row) { return {*this, std::move(row)}; }

 private:
  std::string what_;
  std::deque<Row> rows_;  // the address of a row never changes
};

}  // namespace uvic::base
