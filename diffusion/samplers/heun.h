#pragma once

#include "diffusion/samplers/sampler_call.h"

namespace uvic::diffusion {

/// Heun's second-order method on d(x / alpha) / d(sigma / alpha) = eps, with the churn of EDM.
///
/// If s_tmin <= sigma / alpha <= s_tmax, a step first raises the noise by the factor 1 + gamma,
/// with gamma = min(s_churn / steps, sqrt(2) - 1), but not beyond t_max of the schedule. A step
/// takes two evaluations, a last step to 0 takes one. Source: Karras et al. 2022, arXiv:2206.00364,
/// algorithms 1 and 2 (with alpha = 1).
torch::Tensor sample_heun(const SamplerCall& call, torch::Tensor x);

}  // namespace uvic::diffusion
