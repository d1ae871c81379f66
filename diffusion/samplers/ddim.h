#pragma once

#include "diffusion/samplers/sampler_call.h"

namespace uvic::diffusion {

/// DDIM: a step along eps, with the fraction config.eta of the noise of DDPM:
///   x_t = alpha_t x0 + sqrt(sigma_t^2 - std^2) eps + std z,
///   std = eta * (standard deviation of ddpm's small variance)
/// Source: Song et al. 2021, arXiv:2010.02502, eq. 12 and 16.
torch::Tensor sample_ddim(const SamplerCall& call, torch::Tensor x);

}  // namespace uvic::diffusion
