// The few statistics of attention that are cheap enough for every so many images of a training.
#pragma once

#include <vector>

#include "base/torch.h"

namespace uvic::model {

/// A number of a block: its name, and whether it says anything of kinds whose weights are positive.
struct LightStatistic {
  const char* name;
  bool only_signed;
};

/// negative_share, negative_mass, entropy, effective_keys, largest_sink, mass_first: of the weights
/// alone, each the mean over the heads of what head_statistics() defines by that name.
const std::vector<LightStatistic>& light_statistics();

/// The numbers above in their order of w [B, H, L, S], the weights of a block: float64
/// [B, light statistics] on the CPU. Computed in float32 or, of float64 weights, in float64.
/// `causal`: later keys are hidden.
torch::Tensor measure_light(const torch::Tensor& weights, bool causal);

}  // namespace uvic::model
