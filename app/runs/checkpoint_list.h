// Checkpoints of a run, by the words of an option: "latest", "all", "every=64k", "64k,128k",
// "best".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/runs/keep_rule.h"
#include "app/runs/run_dir.h"

namespace uvic::app {

/// Throws std::invalid_argument where the words are none of these; needs no run.
void check_checkpoint_list(const std::string& words);

/// The weights that the words choose, ascending by images seen.
///
///   latest         the last
///   all            every one
///   every=IMAGES   those at multiples of IMAGES, give or take the batch that crossed it, and the
///                  last
///   best           the one of the lowest distance in the run's own scores (score_images), as far
///                  as they compare with the latest of them (score_lines.h)
///   64k,128k       these, exactly, or the first after each
///
/// Throws std::invalid_argument for a checkpoint that is not there, with those that are, and for
/// "best" without scores; std::runtime_error where the run has no weights.
std::vector<NumberedFile> chosen_checkpoints(const RunDir& run, const std::string& words);

/// Removes the weights that the rule does not keep. The latest stay always. Of scores that do not
/// compare, by another feature network say, each kind has its own best. `batch` is how far a
/// checkpoint may be past a multiple. Returns the files that were removed.
std::vector<NumberedFile> prune_checkpoints(const RunDir& run, const KeepRule& rule, int64_t batch);

}  // namespace uvic::app
