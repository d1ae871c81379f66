// The table of a report, with a column for each entry.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace uvic::app {

struct TableRow {
  std::string label, note;
  std::vector<std::string> cells;  ///< one for each entry; empty without a value
  std::optional<size_t> best;      ///< the best entry, in quality rows of comparable scores
  std::string test;                ///< "p = 0.03", the best against the second; empty: no test
};

struct TableGroup {
  std::string name;
  std::vector<TableRow> rows;
};

/// The groups quality, of sequences accuracy by sub-task and length, model, training and sampling,
/// without rows that are empty for all entries.
/// `data` as in report_data.
std::vector<TableGroup> table_of(const nlohmann::json& data);

/// The table as plain text, at most about 120 characters wide. Long cells have several lines.
std::string table_text(const std::vector<TableGroup>& table, const std::vector<std::string>& names);

/// A value as text: numbers with six digits, lists and objects separated by commas.
std::string shown(const nlohmann::json& value);

/// The first `bytes` bytes of `text` and "…", cut between characters; `text` if it is not longer.
std::string shortened(const std::string& text, size_t bytes);

}  // namespace uvic::app
