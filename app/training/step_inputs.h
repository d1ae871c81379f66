// What a training step draws at random: one stream of numbers for each step, and labels dropped for
// guidance.
#pragma once

#include <torch/torch.h>

#include "app/runs/run_config.h"

namespace uvic::app {

/// The seed of the step that begins at `images_seen`: a resumed run needs no generator state.
uint64_t step_seed(int64_t seed, int64_t images_seen);

/// A generator of the device, at that seed.
at::Generator step_generator(int64_t seed, int64_t images_seen, torch::Device device);

/// uint8 pictures as the network takes them: float32 in [-1, 1].
torch::Tensor to_unit_range(const torch::Tensor& images);

/// Labels as the network takes them: undefined if it takes none, the null class where dropout
/// strikes.
torch::Tensor condition(const RunConfig& options,
                        const torch::Tensor& labels,
                        at::Generator generator);

}  // namespace uvic::app
