// The program: its commands, and the one place where exceptions become exit codes.
#pragma once

namespace uvic::app {

/// Runs the command that the arguments name. Returns the exit code: 2 for wrong usage, 1 where it
/// failed, else what the command gave.
int run_command_line(int argc, char** argv);

}  // namespace uvic::app
