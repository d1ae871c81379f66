// The lines that a training prints of how far it is, and of why it can't go on.
#pragma once

#include <cstdint>
#include <string>

#include "app/runs/run_dir.h"
#include "app/training/gradient_exchange.h"
#include "app/training/state_shares.h"

namespace uvic::app {

/// Images, or sequences, of a training.
struct Progress {
  int64_t seen = 0, total = 0;
  const char* examples = "images";
};

/// `seconds` is the time of a step of `batch` images.
std::string first_step_text(const Progress& progress, double seconds, int64_t batch);

/// Once some steps say how long all will take. `rate` is in images a second, here as below.
std::string estimate_text(const Progress& progress, double rate);

std::string progress_text(const Progress& progress, double loss, double rate, double memory_mib);

/// What several processes exchange in a step; `shares` is null where each has the whole state.
std::string processes_text(const GradientExchange& exchange, const StateShares* shares);

/// Throws std::runtime_error: the loss, or what else, is no longer finite. Names the state to go
/// back to.
[[noreturn]] void throw_diverged(const RunDir& run, const std::string& what, int64_t images_seen);

}  // namespace uvic::app
