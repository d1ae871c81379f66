// A run that starts from weights instead of fresh ones.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "app/training/train_state.h"

namespace uvic::app {

/// What a run started from, as it is reported and recorded.
struct StartingPoint {
  std::vector<std::string> lines;  ///< for the log: source, copied, interpolated, new, dropped
  nlohmann::json record;           ///< for run.json, with paths
  std::string metadata;            ///< uvic.init of states and weights: JSON, without paths
};

/// The classes of one side, for matching.
struct ClassSet {
  int64_t rows = 0;                ///< rows of the embedding, the null class included
  bool has_null = false;           ///< the last row is the null class
  std::vector<std::string> names;  ///< empty: unknown
};

/// For each row of `target` the row of `source`, or -1: by name where both sides name their
/// classes, else by number; the null class by its meaning.
std::vector<int64_t> matching_rows(const ClassSet& source, const ClassSet& target);

/// Fills network, average and, with config.init_optimizer "keep", the optimizer's state and step
/// count, from what config.init names (model/weight_transfer.h says how). `class_names` are those
/// of the training images; `data_fingerprint` is that of the training data, where it tells the
/// tokenizer of sequences: another one than the weights were trained with is a warning. Throws
/// std::runtime_error and std::invalid_argument where it can't be read or nothing of it fits, and
/// for "keep" where it has no state, or one of another optimizer.
StartingPoint start_from(const RunConfig& config,
                         const std::vector<std::string>& class_names,
                         TrainState& state,
                         const std::string& data_fingerprint = {});

}  // namespace uvic::app
