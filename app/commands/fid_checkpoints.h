// uvic fid --checkpoints: the scores of a run along its training.
#pragma once

#include <nlohmann/json.hpp>

#include "app/report/number_table.h"
#include "app/scoring/fid_options.h"

namespace uvic::app {

/// Scores each chosen checkpoint of options.run with the same seeds and settings. Returns
/// {"settings": ..., "warnings": [...], "points": [{"images_seen", "checkpoint_sha256", "metrics"},
/// ...]}, with metrics as in FidResult. The warning, also on stderr: "best" was picked by the run's
/// own scores, and some of their sample seeds are scored again. With options.report it also writes
/// there
///
///   checkpoints.json, .md, .csv, .tex   what is returned, and its table
///   checkpoints.svg                     the first metric against images seen, with error bars
///   scores/000064000.json               each score, with what it was made from
///   reference.npz                       statistics of the reference, where they suffice
///
/// Throws what chosen_checkpoints() and run_fid() throw, and std::invalid_argument without a run.
nlohmann::json run_checkpoint_scores(FidOptions options);

/// The table of run_checkpoint_scores(): a row for each checkpoint, a column for each metric.
NumberTable checkpoint_table(const nlohmann::json& scores);

/// The command: prints the table, or with --json the object.
void score_checkpoints(const FidOptions& options);

}  // namespace uvic::app
