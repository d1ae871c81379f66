// --json: the result of a command as one JSON object on standard output, for programs.
#pragma once

#include <CLI/CLI.hpp>

#include <nlohmann/json.hpp>

namespace uvic::app {

/// Adds the flag --json to the program. Where it is given, all that a command prints for people
/// goes to standard error, and print_json() alone writes to standard output. A command with a
/// --json of its own (bench, which names a file, and inspect) keeps that.
void add_json_flag(CLI::App& app);

/// Whether the flag was given.
bool json_is_asked();

/// Undoes what --json did to standard output, for programs that this one starts and waits for: they
/// are given --json too. Throws std::runtime_error.
void give_standard_output_back();

/// Writes `result` where json_is_asked(), else nothing. Values that are no numbers are null. Throws
/// std::runtime_error where it can't be written.
void print_json(const nlohmann::json& result);

}  // namespace uvic::app
