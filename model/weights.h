// Named tensors into a network and out of it, and the config that a set of tensors implies.
#pragma once

#include <torch/torch.h>

#include <map>
#include <string>
#include <vector>

#include "model/uvit/uvit.h"

namespace uvic::model {

using NamedTensors = std::map<std::string, torch::Tensor>;

/// Parameters and buffers under their state_dict names, cut off from the graph, sharing the
/// module's storage.
NamedTensors named_weights(const torch::nn::Module& module);

/// Copies `tensors` into the module, converting between floating dtypes.
///
/// All or nothing: a missing, unknown or differently shaped tensor throws std::invalid_argument
/// that lists every mismatch, begins with `source` (the file they came from) and says what to do.
void load_weights(torch::nn::Module& module,
                  const NamedTensors& tensors,
                  const std::string& source);

struct ConfigGuess {
  UViTConfig config;
  std::vector<std::string>
      assumed;  ///< what no shape can tell, as "num_heads = 8 (64 channels each)"
};

/// The config of the network whose state_dict this is. Heads, attention and the split of tokens
/// between context and patches have no shape: they follow the published models and are listed in
/// `assumed`. Throws std::invalid_argument naming `source` where the tensors are no U-ViT's.
ConfigGuess guess_config(const NamedTensors& tensors, const std::string& source);

}  // namespace uvic::model
