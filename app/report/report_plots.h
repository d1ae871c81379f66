// The plots of a report, for the page and as files.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/report/plot.h"

namespace uvic::app {

struct ReportPlot {
  std::string file, caption;  ///< name without extension
  std::string page_svg;       ///< with the colours of the page
  std::string print_svg;      ///< with fixed colours on white
};

/// A plot under the name of its file.
template <class Plot>
ReportPlot report_plot(const std::string& file, const std::string& caption, const Plot& plot) {
  return {file, caption, to_svg(plot, page_palette()), to_svg(plot, print_palette())};
}

/// The unit for times up to `longest_sec`, in seconds and by name.
std::pair<double, std::string> time_unit(double longest_sec);

/// The plots with data, of losses, distances and scores on held-out sequences against images (of
/// sequences: tokens) seen and against training time.
/// `data` as in report_data.
std::vector<ReportPlot> make_plots(const nlohmann::json& data);

/// The primary metric of every entry and of the baselines; nothing if no entry is scored.
std::optional<ReportPlot> make_score_plot(const nlohmann::json& data, const std::string& caption);

}  // namespace uvic::app
