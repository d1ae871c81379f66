// The commands of the program.
#pragma once

#include <CLI/CLI.hpp>

namespace uvic::app {

/// Every subcommand, and --version.
void add_commands(CLI::App& app);

/// What the process returns after a command that ran: 0, or 128 + the signal that stopped it.
int exit_code();

}  // namespace uvic::app
