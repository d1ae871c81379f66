// The weights of a small network for the tests of checkpoints.
#pragma once

#include "model/network_config.h"
#include "model/uvit/uvit.h"
#include "model/weights.h"

namespace uvic::test {

/// A class-conditional U-ViT of two heads of 64 channels, as a state_dict.
inline model::NamedTensors small_uvit() {
  model::UViTConfig config;
  config.img_size = 8, config.embed_dim = 128, config.depth = 2, config.num_heads = 2;
  config.num_classes = 5, config.attention = "softmax", config.placement = "none";
  model::UViT network(config);
  auto tensors = model::named_weights(*network);
  for (auto& [name, tensor] : tensors) tensor = tensor.clone();
  return tensors;
}

}  // namespace uvic::test
