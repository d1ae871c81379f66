#pragma once

#include "diffusion/samplers/sampler_call.h"

namespace uvic::diffusion {

/// Heun's second-order method on d(x / alpha) / d(sigma / alpha) = eps, with EDM's churn: before
/// each step noise is raised by a factor 1 + gamma, gamma = min(s_churn / steps, sqrt(2) - 1),
/// where s_tmin <= sigma / alpha <= s_tmax (never beyond the schedule's t_max). Two evaluations a
/// step, one in a last step to 0. Source: Karras et al. 2022, arXiv:2206.00364, algorithms 1 and 2,
/// which have alpha = 1.
torch::Tensor sample_heun(const SamplerCall& call, torch::Tensor x);

}  // namespace uvic::diffusion
