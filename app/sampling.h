// Pictures from a network: seeds and labels in, uint8 out.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "diffusion/guidance.h"
#include "diffusion/noise_schedule.h"
#include "diffusion/sampler.h"
#include "model/uvit.h"

namespace uvic::app {

/// All that a picture depends on beside its seed and label.
struct DrawSettings {
  diffusion::DiffusionConfig diffusion;
  diffusion::SamplerConfig sampler;
  diffusion::GuidanceConfig guidance;
};

/// One picture for each seed; labels as long as seeds, or empty for a network without classes.
///
/// Returns uint8 [N, 3, S, S] on the CPU: clamp(0.5 (x + 1)) * 255 + 0.5, truncated, as the
/// official code writes it. On the CPU each picture is computed by one thread, alone: its bits
/// depend on neither the batch nor the number of threads. `progress(step, steps)` may be empty. The
/// network's mode and compute dtype are the caller's.
torch::Tensor draw(model::UViT& network,
                   const DrawSettings& settings,
                   const std::vector<uint64_t>& seeds,
                   const std::vector<int64_t>& labels,
                   const std::function<void(int64_t step, int64_t steps)>& progress = {});

/// The class of each seed when classes are dealt out in turn: classes[seed % classes.size()]. A
/// function of the seed alone.
std::vector<int64_t> labels_in_turn(const std::vector<uint64_t>& seeds,
                                    const std::vector<int64_t>& classes);

/// The classes that a network can be asked for: 0 ... num_classes - 1, less the null class where it
/// was trained with one.
std::vector<int64_t> all_classes(const model::UViTConfig& config, bool has_null_class);

}  // namespace uvic::app
