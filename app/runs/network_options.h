// Which options of the section `model` decide what a network computes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "model/network_config.h"

namespace uvic::app {

/// Whether a network of the kind (a name of network_choices()) reads the option, a dotted name that
/// begins with "model.". All kinds of small sequence networks share the section model.small.
bool is_read_by_network(const std::string& option, const std::string& kind);

/// The options by their dotted names without "model.", except those of other kinds of networks and
/// those that change only memory (use_checkpoint) or fresh weights (init). Two configs with the
/// same record and the same weights give the same values.
nlohmann::json network_record(const model::NetworkConfig& config);

}  // namespace uvic::app
