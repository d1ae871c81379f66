// uvic man: the manual page, made from the options.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace uvic::app {

/// uvic(1) in roff, with the macros of man(7): every command, every option.
std::string manual_page(const CLI::App& app);

void add_man_command(CLI::App& app);

}  // namespace uvic::app
