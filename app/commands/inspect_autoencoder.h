// What `uvic inspect` reports of a KL autoencoder.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "model/network_config.h"

namespace uvic::app {

/// Fills "autoencoder" and "parameters" of the report where the tensors of the file at `path` are
/// an autoencoder's; false where they are not.
bool describe_autoencoder(const std::filesystem::path& path,
                          const model::NamedTensors& tensors,
                          nlohmann::json& report);

/// The lines of report["autoencoder"] for the terminal: label and text.
std::vector<std::pair<std::string, std::string>> autoencoder_lines(
    const nlohmann::json& autoencoder);

}  // namespace uvic::app
