// uvic train: the command.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include "app/runs/run_config.h"

namespace uvic::app {

struct TrainResult {
  int64_t images_seen = 0;
  bool finished = false;   ///< false: a signal stopped it; the same call goes on from there
  double elapsed_sec = 0;  ///< training alone, over all sittings
};

/// Trains from what stands in options.out up to options.total_images.
TrainResult run_train(const RunConfig& options);

void add_train_command(CLI::App& app);

}  // namespace uvic::app
