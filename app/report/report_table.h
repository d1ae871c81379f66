// The table of a report: a column for each entry.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace uvic::app {

struct TableRow {
  std::string label, note;
  std::vector<std::string> cells;  ///< empty where an entry has no such value
  std::optional<size_t> best;      ///< of the quality rows of several entries
  std::string test;                ///< "p = 0.03": the best against the next; empty: no test
};

struct TableGroup {
  std::string name;
  std::vector<TableRow> rows;
};

/// Quality, model, training and sampling; rows that no entry fills are left out. `data` as in
/// report_data.
std::vector<TableGroup> table_of(const nlohmann::json& data);

/// The table in columns of characters.
std::string table_text(const std::vector<TableGroup>& table, const std::vector<std::string>& names);

/// A value as a cell shows it: numbers to six digits, lists and objects in words.
std::string shown(const nlohmann::json& value);

/// At most `bytes` of it, cut between characters.
std::string shortened(const std::string& text, size_t bytes);

}  // namespace uvic::app
