// How samples came to be: what samples.json and score.json say of them.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "app/runs/network_source.h"
#include "app/sampling/draw.h"

namespace uvic::app {

/// Everything that decides on an image besides its seed and class, and where it came from:
/// checkpoint and its hash, network, diffusion, sampler, guidance, guide, precision, version.
nlohmann::json sample_record(const SampleSource& source,
                             const std::optional<SampleSource>& guide,
                             const DrawSettings& settings,
                             const std::string& precision);

}  // namespace uvic::app
