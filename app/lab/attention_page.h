// The page of an attention analysis: one self-contained HTML file.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "app/lab/lab_output.h"

namespace uvic::app {

/// The page from assets/attention.html with `numbers` (lab_json()) and the maps of the
/// subjects inside. It loads nothing.
std::string attention_page(const nlohmann::json& numbers, const std::vector<LabSubject>& subjects);

/// Name and SVG of each statistic through the depth of the networks: a line for each network, at
/// the middle one of the timesteps or ranges of positions. Statistics that are defined nowhere are
/// left out.
std::vector<std::pair<std::string, std::string>> depth_figures(const nlohmann::json& numbers);

}  // namespace uvic::app
