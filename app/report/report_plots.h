// The plots of a report, for the page and as files.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace uvic::app {

struct ReportPlot {
  std::string file, caption;  ///< name without extension
  std::string page_svg;       ///< with the colours of the page
  std::string print_svg;      ///< with fixed colours on white
};

/// The plots with data, of losses and distances against images seen and against training time.
/// `data` as in report_data.
std::vector<ReportPlot> make_plots(const nlohmann::json& data);

/// The primary metric of every entry and of the baselines; nothing if no entry is scored.
std::optional<ReportPlot> make_score_plot(const nlohmann::json& data, const std::string& caption);

}  // namespace uvic::app
