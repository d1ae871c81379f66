#pragma once

#include "diffusion/samplers/sampler_call.h"

namespace uvic::diffusion {

/// UniPC-p: a multistep predictor of order p and a corrector of order p + 1. The corrector uses the
/// model output at the predicted point, which the next step needs too: one evaluation per step.
/// Variants: B(h) = k (bh1) and e^k - 1 (bh2).
/// Source: Zhao et al. 2023, arXiv:2302.04867, algorithms 5 to 8.
torch::Tensor sample_unipc(const SamplerCall& call, torch::Tensor x);

}  // namespace uvic::diffusion
