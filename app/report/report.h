// The report of a comparison, or of one run.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/report/number_table.h"
#include "app/report/report_data.h"

namespace uvic::app {

/// Writes to `out`: report.html (one file, without network access), report.json (the data, see
/// report_data.h), the sample grids as PNG, every plot as SVG, and the scores as table.csv,
/// table.md and table.tex. `baseline_column` as in report_data(). Each file is written completely
/// or not at all.
void write_report(const std::string& title,
                  const std::vector<ReportEntry>& entries,
                  const std::vector<nlohmann::json>& baselines,
                  const std::filesystem::path& out,
                  const std::string& baseline_column = "");

/// The verdict and the table as plain text for the terminal.
std::string report_text(const std::string& title,
                        const std::vector<ReportEntry>& entries,
                        const std::vector<nlohmann::json>& baselines,
                        const std::string& baseline_column = "");

/// The scores as a table: a row for each metric, a column for each entry, then baselines. In
/// another row for each metric the corrected p of each column against `baseline_column`, where one
/// is named.
NumberTable report_numbers(const nlohmann::json& data);

}  // namespace uvic::app
