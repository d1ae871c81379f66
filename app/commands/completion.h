// uvic completion: what a shell needs to complete the commands and options of uvic.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace uvic::app {

/// The script for "bash", "zsh" or "fish", made from the options of `app`. Throws
/// std::invalid_argument for another shell.
std::string completion_script(const CLI::App& app, const std::string& shell);

void add_completion_command(CLI::App& app);

}  // namespace uvic::app
