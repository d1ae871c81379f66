// Tokens of the class besides the label's, for those who read the tokens of a block.
#pragma once

#include <cstdint>

#include "model/network_config.h"

namespace uvic::model {

/// UViTConfig::class_tokens; 0: every block has the label, time, context and patches alone.
int64_t class_tokens(const NetworkConfig& config);

}  // namespace uvic::model
