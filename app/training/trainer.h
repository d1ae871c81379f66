// The training loop, read from top to bottom.
#pragma once

#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "app/training/gradient_exchange.h"
#include "app/training/learning_rate.h"
#include "app/training/objective.h"
#include "app/training/snapshots.h"
#include "app/training/train_state.h"
#include "base/process_group.h"
#include "data/batch_source.h"
#include "data/dataset.h"

namespace uvic::app {

/// Whether a multiple of `interval` is above `before` and at most `after`; false for interval 0.
inline bool crosses(int64_t interval, int64_t before, int64_t after) {
  return interval > 0 && before / interval != after / interval;
}

/// Weights, grids and scores that were due at state.images_seen and are missing: an earlier launch
/// was ended before it made them.
struct MissingSnapshots {
  bool weights = false, grid = false, score = false;
  bool any() const { return weights || grid || score; }
};
MissingSnapshots missing_snapshots(const RunConfig& config,
                                   const TrainState& state,
                                   const RunDir& run);

/// The processes that train one run together. Each takes a slice of every batch (data::Loader), and
/// the first alone writes the run's folder. Each has the whole state, or shares it with the others
/// (TrainState::shares).
struct TrainingProcesses {
  base::ProcessGroup* group = nullptr;  ///< null: this process alone
  Wire wire{};
};

/// Makes what is missing, then trains `state` until config.total_images or until a stop signal;
/// saves on its intervals, at the end, and where anything but a step itself fails. Throws
/// std::runtime_error where the loss stops being finite (what was saved before stays); the message
/// says how to go back. With several processes a signal to one of them stops all after the same
/// step, and where one of them fails the first saves the steps so far, unless the state is shared.
void train(const RunConfig& config,
           data::BatchSource& batches,
           const Objective& objective,
           const Snapshots& snapshots,
           TrainState& state,
           const RunDir& run,
           const TrainingProcesses& processes = {});

/// The same on the shuffled images of a set.
void train(const RunConfig& config,
           const data::Dataset& dataset,
           const Objective& objective,
           const Snapshots& snapshots,
           TrainState& state,
           const RunDir& run,
           const TrainingProcesses& processes = {});

}  // namespace uvic::app
