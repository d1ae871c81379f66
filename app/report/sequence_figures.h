// The plots of a report that only networks of sequences have.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "app/report/report_plots.h"

namespace uvic::app {

/// Accuracy and loss on held-out sequences during training, against tokens seen and against training
/// time; empty without such scores. `data` as in report_data.
std::vector<ReportPlot> make_held_out_plots(const nlohmann::json& data);

/// Final accuracy by the complexity of the task: by sub-task, by length of the problem, and, where
/// columns have different tokens.symbols (N), tokens.delay (tau), tokens.items, tokens.length or
/// tokens.switch_rate, against that option, a line for the columns that are equal in all else but
/// the vocabulary and the positions that follow from it.
std::vector<ReportPlot> make_task_plots(const nlohmann::json& data);

}  // namespace uvic::app
