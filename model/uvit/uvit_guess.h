// The config of a U-ViT from the shapes of its weights.
#pragma once

#include <string>

#include "model/network_config.h"

namespace uvic::model {

/// As guess_config() in model/network_config.h. Heads, attention and the split of tokens between
/// context and patches have no shape: they follow `hints`, then the published models.
ConfigGuess guess_uvit(const NamedTensors& tensors,
                       const ShapeHints& hints,
                       const std::string& source);

/// As apply_hints() in model/network_config.h.
void apply_uvit_hints(const ShapeHints& hints, bool is_guessed, ConfigGuess& guess);

}  // namespace uvic::model
