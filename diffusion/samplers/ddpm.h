#pragma once

#include "diffusion/samplers/sampler_call.h"

namespace uvic::diffusion {

/// q(x_t | x_s, x0) for t < s, with the mean of_x x_s + of_x0 x0. With alpha_{s|t} = alpha_s /
/// alpha_t and beta = sigma_s^2 - alpha_{s|t}^2 sigma_t^2 (the noise added between t and s):
///   of_x = alpha_{s|t} sigma_t^2 / sigma_s^2,  of_x0 = alpha_t beta / sigma_s^2
/// Source: Ho et al. 2020, arXiv:2006.11239, eq. 7, for any pair of times.
struct Posterior {
  double of_x, of_x0;
  double small_variance;  ///< beta sigma_t^2 / sigma_s^2, exact where x0 is one point
  double large_variance;  ///< beta, exact where x0 ~ N(0, I)
};
Posterior ddpm_posterior(const Knot& s, const Knot& t);

/// DDPM ancestral sampling. Source: Ho et al. 2020, arXiv:2006.11239, algorithm 2 and section 3.2.
torch::Tensor sample_ddpm(const SamplerCall& call, torch::Tensor x);

}  // namespace uvic::diffusion
