// uvic train: the command.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>

#include "app/runs/run_config.h"
#include "app/training/resume.h"

namespace uvic::app {

struct TrainResult {
  int64_t images_seen = 0;
  bool finished = false;   ///< false: a signal stopped it; the same call continues from there
  double elapsed_sec = 0;  ///< training alone, over all launches
};

/// Trains from what options.out holds, or from options.init, or from fresh weights, up to
/// options.total_images. Throws std::invalid_argument and std::runtime_error with the cure where
/// the folder holds something else than a run that these options continue.
TrainResult run_train(const RunConfig& options, const LaunchOptions& launch = {});

void add_train_command(CLI::App& app);

}  // namespace uvic::app
