#pragma once

#include "diffusion/samplers/sampler_call.h"

namespace uvic::diffusion {

/// Euler-Maruyama on the reverse SDE dx = [f x + g^2 eps / sigma] dt + g dw, backwards in t.
/// `steps` evaluations from t_start to t_end, the last one for a step from t_end to 0 without
/// noise. U-ViT uses it for CIFAR-10, with 1000 steps. Source: Song et al. 2021, arXiv:2011.13456,
/// eq. 6.
torch::Tensor sample_euler_maruyama(const SamplerCall& call, torch::Tensor x);

/// Euler on the probability flow ODE dx = [f x + g^2 eps / (2 sigma)] dt.
/// Source: Song et al. 2021, arXiv:2011.13456, eq. 13.
torch::Tensor sample_euler(const SamplerCall& call, torch::Tensor x);

}  // namespace uvic::diffusion
