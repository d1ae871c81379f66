// What states and weights of a run say of themselves.
#pragma once

#include <map>
#include <string>

#include "app/runs/run_config.h"
#include "app/runs/run_identity.h"
#include "data/examples.h"

namespace uvic::app {

/// Everything that sampling and resuming need to know of a run, kept in its states and weights.
std::map<std::string, std::string> run_metadata(const RunConfig& config,
                                                const data::Examples& examples,
                                                const RunIdentity& identity);

}  // namespace uvic::app
