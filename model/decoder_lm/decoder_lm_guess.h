// The config of a decoder-only language model, from the shapes of its tensors and its config.json.
#pragma once

#include <string>

#include "model/network_config.h"

namespace uvic::model {

/// guess_config() and apply_hints() of model/network_config.h for Llama's architecture.
///
/// Shapes say everything but the number of heads, the base and scaling of RoPE, the epsilon of the
/// norms and the attention. ShapeHints::config_json, the file that Hugging Face keeps next to the
/// weights, says these where it is there. Throws std::invalid_argument where that file describes
/// another architecture, or disagrees with the shapes.
ConfigGuess guess_decoder_lm(const NamedTensors& tensors,
                             const ShapeHints& hints,
                             const std::string& source);
void apply_decoder_lm_hints(const ShapeHints& hints, bool is_guessed, ConfigGuess& guess);

}  // namespace uvic::model
