// What a comparison will take, and its --dry_run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/commands/compare.h"
#include "app/training/cost_estimate.h"

namespace uvic::app {

/// What is left of the comparison: trainings, samples, and the features of samples, reference,
/// held-out images, noise and nearest training images. Times each column's network. Nothing where a
/// network is too large for a trial; zero, and no trial, where everything is scored. Throws where
/// the data can't be opened.
std::optional<RunCost> comparison_cost(const CompareOptions& options,
                                       const std::vector<ComparedRun>& plan);

/// Images whose features the comparison still needs besides those of its samples.
int64_t images_besides_samples(const CompareOptions& options, const std::vector<ComparedRun>& plan);

/// cost_text(), or why there is none.
std::string comparison_cost_text(const std::optional<RunCost>& cost);

/// Prints the config of each column and the time and disk that all runs take; with --json an object
/// of "config" (by column), "runs" and "cost" (null: not estimated).
void print_comparison_plan(const CompareOptions& options, const std::vector<ComparedRun>& plan);

}  // namespace uvic::app
