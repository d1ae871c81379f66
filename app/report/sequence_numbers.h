// What a report says of networks of sequences: scores along the training, and accuracy by the
// complexity of the task.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "app/report/report_data.h"
#include "app/report/report_table.h"

namespace uvic::app {

/// Whether an entry or a whole report (see report_data.h) is of networks of sequences.
bool is_of_sequences(const nlohmann::json& entry_or_data);

/// Examples times this are what the report counts of an entry: tokens of sequences, else images.
double counted_per_example(const nlohmann::json& entry);

/// "tokens" or "images".
std::string counted_name(const nlohmann::json& entries);

/// Scores on held-out sequences during the training of the runs of one config, by sequences seen:
///
///   images_seen, elapsed_sec         sequences seen, and the training time, a mean over the runs
///   loss, accuracy, perplexity       each {"mean", "std_over_seeds", "error": of one score};
///                                    accuracy in %
nlohmann::json held_out_curve(const std::vector<std::vector<nlohmann::json>>& stats_of_runs);

/// {"parts", "sizes"}: accuracy in % by sub-task and by size of the problem, each a list of {"name",
/// "mean", "std_over_seeds", "error": of one score}. `scores` as sequence_score() makes them.
nlohmann::json accuracy_by_complexity(const std::vector<nlohmann::json>& scores);

/// The rows of those, for the table of a report; groups without rows are left out.
std::vector<TableGroup> complexity_rows(const nlohmann::json& entries);

/// The attention of a network of sequences, or its kind where it has none; and its shape.
std::string sequence_attention_text(const nlohmann::json& entry);
std::string sequence_shape_text(const nlohmann::json& entry);

}  // namespace uvic::app
