// The plots of a report, for the page and as files.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace uvic::app {

struct ReportPlot {
  std::string file, caption;  ///< name without extension
  std::string page_svg;       ///< follows the page's colours
  std::string print_svg;      ///< colours of its own, on white
};

/// Losses and distances against images seen and against training time; those that have data. `data`
/// as in report_data.
std::vector<ReportPlot> draw_plots(const nlohmann::json& data);

/// The primary metric of every entry, beside the baselines; nothing where none is scored.
std::optional<ReportPlot> draw_score_plot(const nlohmann::json& data, const std::string& caption);

}  // namespace uvic::app
