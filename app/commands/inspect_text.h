// What uvic inspect found, as text.
#pragma once

#include <nlohmann/json.hpp>

namespace uvic::app {

/// Prints the report of inspect() to stdout; text from files can't write on the terminal.
void print_inspection(const nlohmann::json& report);

}  // namespace uvic::app
