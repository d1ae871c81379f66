// uvic fid: scores images against a reference.
#pragma once

#include <CLI/CLI.hpp>

namespace uvic::app {

void add_fid_command(CLI::App& app);

}  // namespace uvic::app
