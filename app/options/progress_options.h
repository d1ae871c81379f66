// --quiet and --json_progress: how every command reports that it gets on.
#pragma once

#include <CLI/CLI.hpp>

namespace uvic::app {

/// Adds both flags to the program; all commands take them. They set base::progress_form().
void add_progress_flags(CLI::App& app);

}  // namespace uvic::app
