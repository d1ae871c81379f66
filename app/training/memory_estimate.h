// What a training run holds in memory, told before it starts.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <string>

#include "app/runs/run_config.h"

namespace uvic::app {

/// Bytes of tensors at the moment of a step at which they are most: when the backward pass begins,
/// or ends.
///
/// For each of the T = images * tokens rows of a block of width D with an MLP of width H, its fused
/// operations keep 8 D bytes of float32 (the residual stream before attention and before the MLP),
/// (6 D + 2 H) c bytes (both norms, qkv, attention's result; the MLP before and after GELU), c the
/// size of the compute type, 2 D c more where a skip joins, and the rows' statistics. Recomputed
/// blocks keep their input alone. Attention other than softmax and Cog keeps its scores too. Not
/// counted: the program itself, pictures held by the data set, and what allocators keep in reserve.
struct MemoryEstimate {
  double parameters = 0, optimizer = 0, average = 0;  ///< float32: 1, 2 and 1 numbers a parameter
  double gradients = 0;  ///< float32, one for each shard; none yet when the backward pass begins
  double weight_copies = 0;  ///< on a GPU: the blocks' weights in the compute type
  double activations = 0;    ///< what the backward pass reads
  double backward = 0;       ///< passing through the block that takes most

  double always() const { return parameters + optimizer + average; }
  double at_most() const;
};

/// `shards` as choose_shards() says. Tested within 10 % of what a step on the CPU really takes
/// (memory_test.cpp).
MemoryEstimate estimate_memory(const RunConfig& options, torch::Device device, int64_t shards);

/// One line for each part, MiB.
std::string memory_text(const MemoryEstimate& estimate);

}  // namespace uvic::app
