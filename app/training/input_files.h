// The files that a training reads after its run folder exists.
#pragma once

#include "app/runs/run_config.h"

namespace uvic::app {

/// Throws std::runtime_error where a path among the options names nothing: the reference of scores,
/// the weights of Inception-v3, and with `begins` (no state to continue from) what --init names.
/// Their contents are checked when they are read.
void require_input_files(const RunConfig& config, bool begins);

}  // namespace uvic::app
