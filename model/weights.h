// Named tensors into a network and out of it.
#pragma once

#include <torch/nn/module.h>

#include <string>
#include <vector>

#include "base/torch.h"
#include "model/network_config.h"

namespace uvic::model {

/// Parameters and buffers under their state_dict names, cut off from the graph, sharing the
/// module's storage.
NamedTensors named_weights(const torch::nn::Module& module);

/// What keeps load_weights() from loading, one text for each tensor that is missing, unknown or of
/// another shape; empty where all fit.
std::vector<std::string> weight_faults(const torch::nn::Module& module,
                                       const NamedTensors& tensors);

/// The first five faults, and how many more there are.
std::string faults_text(std::vector<std::string> faults);

/// Copies `tensors` into the module, converting between floating dtypes.
///
/// All or nothing: a missing, unknown or differently shaped tensor throws std::invalid_argument
/// that lists the mismatches, begins with `source` (the file they came from) and says what to do.
void load_weights(torch::nn::Module& module,
                  const NamedTensors& tensors,
                  const std::string& source);

}  // namespace uvic::model
