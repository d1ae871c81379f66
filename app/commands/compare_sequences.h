// uvic compare of networks of sequences: loss, perplexity and accuracy on held-out sequences.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "app/commands/compare.h"

namespace uvic::app {

/// Throws std::invalid_argument for options of `uvic compare` that networks of sequences have no use
/// for, and for unknown --metrics.
void check_sequence_comparison(const CompareOptions& options, const RunConfig& training);

/// Opens what each config is scored on, and what it is trained on: a wrong path is reported before
/// any training. Throws what opening them throws, and std::invalid_argument where the networks can't
/// take the sequences.
void check_compared_sequences(const std::vector<ComparedRun>& plan);

/// The plan from top to bottom; returns the report as text. Every network is scored on score_count
/// held-out sequences of its data, or, where it is given, on those of score_ref, whole: the first
/// ones of seed 0, the same for every column with the same data and the same tokens.held_out. Throws
/// StopRequested.
std::string compare_sequences(const CompareOptions& options,
                              const std::filesystem::path& out,
                              const std::vector<ComparedRun>& plan);

}  // namespace uvic::app
