// The config that a launch of uvic train trains with.
#pragma once

#include <CLI/CLI.hpp>

#include "app/runs/run_config.h"

namespace uvic::app {

/// `given` as the command line and --config say. Where options.out is a run and no config is named,
/// that run's own config with what was given in `command` on top; where one is named, the encoders
/// that the run was once given in place of those that neither says.
RunConfig options_of_launch(const RunConfig& given, const CLI::App& command, bool config_is_named);

}  // namespace uvic::app
