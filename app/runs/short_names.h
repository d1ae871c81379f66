// Options by the last part of their names: "placement" for model.placement.
#pragma once

#include <string>
#include <vector>

#include "app/runs/run_config.h"

namespace uvic::app {

/// "placement=all" -> "model.placement=all" for each assignment whose option has no section and is
/// not an option itself, where one option that a network of config.model.kind reads ends so. What
/// no option ends with stays as it is. Throws std::invalid_argument, beginning with `where`, for a
/// name that several end with, and names them.
std::vector<std::string> with_full_names(std::vector<std::string> assignments,
                                         RunConfig config,
                                         const std::string& where);

}  // namespace uvic::app
