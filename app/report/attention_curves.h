// Attention during the trainings of a report: what --attention_stats_images logged.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/report/plot.h"

namespace uvic::app {

/// {"NAME": [{"images_seen", "mean", "std_over_seeds"}, ...]}: of the runs of one config, each
/// statistic by images seen, averaged over the blocks that have it and then over the runs; the
/// standard deviation is over runs, null for one. Empty where nothing was logged.
nlohmann::json attention_curves(const std::vector<std::vector<nlohmann::json>>& stats_of_runs);

/// A plot by images seen of each statistic that some entry of report_data() has, with its name.
std::vector<std::pair<std::string, LinePlot>> attention_plots(const nlohmann::json& entries);

}  // namespace uvic::app
