// What `uvic inspect` says of a CLIP text encoder.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "model/network_config.h"

namespace uvic::app {

/// Adds "text_encoder" to the report where the tensors of the file hold one; else false.
bool describe_clip_text(const std::filesystem::path& path,
                        const model::NamedTensors& tensors,
                        nlohmann::json& report);

/// The lines of "text_encoder" for people: a label and a text each.
std::vector<std::pair<std::string, std::string>> clip_text_lines(const nlohmann::json& found);

}  // namespace uvic::app
