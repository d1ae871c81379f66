// The training loop, read from top to bottom.
#pragma once

#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "app/training/objective.h"
#include "app/training/snapshots.h"
#include "app/training/train_state.h"
#include "data/batch_source.h"
#include "data/dataset.h"

namespace uvic::app {

/// Learning rate of the step that begins at `images_seen`: linear warm-up from 0 (the very first
/// step has rate 0, as in the official code), then constant, or linear or cosine to 0 at
/// config.lr_decay_images (0: at total_images), though not below config.lr_min.
double learning_rate(const OptimizerConfig& config, int64_t images_seen, int64_t total_images);

/// Weights, grids and scores that were due at state.images_seen and are missing: an earlier launch
/// was ended before it made them.
struct MissingSnapshots {
  bool weights = false, grid = false, score = false;
  bool any() const { return weights || grid || score; }
};
MissingSnapshots missing_snapshots(const RunConfig& config,
                                   const TrainState& state,
                                   const RunDir& run);

/// Makes what is missing, then trains `state` until config.total_images or until a stop signal;
/// saves on its intervals, at the end, and where anything but a step itself fails. Throws
/// std::runtime_error where the loss stops being finite (what was saved before stays); the message
/// says how to go back.
void train(const RunConfig& config,
           data::BatchSource& batches,
           const Objective& objective,
           const Snapshots& snapshots,
           TrainState& state,
           const RunDir& run);

/// The same on the shuffled images of a set.
void train(const RunConfig& config,
           const data::Dataset& dataset,
           const Objective& objective,
           const Snapshots& snapshots,
           TrainState& state,
           const RunDir& run);

}  // namespace uvic::app
