// The commands and options of the program as data, for completion scripts and the manual.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace uvic::app {

struct OptionEntry {
  std::string name;  ///< "--model.depth"; of a positional its name alone
  std::string help, group, default_value;
  std::string value;                 ///< "INT", "TEXT", ...; empty: a flag
  std::vector<std::string> choices;  ///< words that its value may be; empty: anything
  bool is_positional = false, is_advanced = false;
};

struct CommandEntry {
  std::string name;  ///< empty: the program itself
  std::string help;
  std::vector<OptionEntry> options;  ///< in the order of the command's help
};

/// The program, then each of its commands.
std::vector<CommandEntry> command_list(const CLI::App& app);

}  // namespace uvic::app
