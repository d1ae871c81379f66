// The report of a comparison (or of one run): what a researcher attaches to a paper.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace uvic::app {

/// One column of the report: a trained config, its samples and its scores.
struct ReportEntry {
  std::string name;
  std::filesystem::path run;      ///< run folder, as `uvic train` leaves it
  std::filesystem::path samples;  ///< as `uvic sample` leaves it; may be empty: no samples
  std::vector<nlohmann::json>
      scores;  ///< as `uvic fid` returns them, one per training seed; may be empty
  std::vector<std::filesystem::path> repeats = {};  ///< runs of the same config with other seeds
};

/// Everything that the report says, as data: what the runs recorded, means and spreads, the
/// comparisons with their p-values, what was held equal, the verdict. A file that a run lacks
/// leaves its part out; a damaged one throws std::runtime_error that names it. `baselines` are
/// scores with one more key, "name": what else was scored, as "real, held out" or "noise".
nlohmann::json report_data(const std::string& title,
                           const std::vector<ReportEntry>& entries,
                           const std::vector<nlohmann::json>& baselines);

/// Writes into `out`, each file whole or not at all: report.html (one file, opens offline),
/// report.json (the data), the sample grids as PNG and every plot as SVG.
void write_report(const std::string& title,
                  const std::vector<ReportEntry>& entries,
                  const std::vector<nlohmann::json>& baselines,
                  const std::filesystem::path& out);

/// The verdict and the table in plain text, for the terminal.
std::string report_text(const std::string& title,
                        const std::vector<ReportEntry>& entries,
                        const std::vector<nlohmann::json>& baselines);

}  // namespace uvic::app
