// The report of a comparison, or of one run.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/report/report_data.h"

namespace uvic::app {

/// Writes to `out`: report.html (one file, without network access), report.json (the data, see
/// report_data.h), the sample grids as PNG and every plot as SVG. Each file is written completely
/// or not at all.
void write_report(const std::string& title,
                  const std::vector<ReportEntry>& entries,
                  const std::vector<nlohmann::json>& baselines,
                  const std::filesystem::path& out);

/// The verdict and the table as plain text for the terminal.
std::string report_text(const std::string& title,
                        const std::vector<ReportEntry>& entries,
                        const std::vector<nlohmann::json>& baselines);

}  // namespace uvic::app
