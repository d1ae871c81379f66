// The sizes of a network's parameters, known before it exists.
#pragma once

#include <cstdint>
#include <vector>

#include "model/network_config.h"

namespace uvic::model {

struct ParameterSize {
  int64_t elements = 0;
  bool is_hidden = false;  ///< a matrix of a hidden layer (Network::stacked_matrices() > 0)
};

/// One for each parameter, in any order: their sums are parameter_count() and
/// hidden_parameter_count(). U-ViT's and the decoder's follow from the config; a small network of
/// sequences is made, with weights of torch's global generator, and dropped. Throws what validate()
/// throws.
std::vector<ParameterSize> parameter_sizes(const NetworkConfig& config);

}  // namespace uvic::model
