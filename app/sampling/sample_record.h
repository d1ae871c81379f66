// How samples were generated, for samples.json and score.json.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "app/runs/network_source.h"
#include "app/sampling/generate.h"

namespace uvic::app {

/// Everything that an image depends on besides its seed and class: checkpoint and its hash,
/// network, diffusion, sampler, guidance, guide, precision, device and, on a CPU, the kernels'
/// instruction set, version. "assumed" and "guide_assumed" are what was taken on trust of a network
/// whose file does not say its config.
nlohmann::json sample_record(const SampleSource& source,
                             const std::optional<SampleSource>& guide,
                             const GenerationSettings& settings,
                             const std::string& precision,
                             torch::Device device);

/// A record without the paths of files, which may differ from host to host, as one text: what all
/// processes that generate together must have been asked for.
std::string request_text(nlohmann::json record);

}  // namespace uvic::app
