// One step of an exponential integrator: what DPM-Solver, DPM-Solver++, its SDE form and UniPC
// share.
#pragma once

#include <torch/torch.h>

#include "diffusion/samplers/sampler_call.h"

namespace uvic::diffusion {

/// phi_1(k) = e^k - 1, phi_2 = phi_1 / k - 1, phi_3 = phi_2 / k - 1/2: accurate for small k too.
double phi_1(double k);
double phi_2(double k);
double phi_3(double k);

/// In half_logsnr the diffusion ODE has a linear part that is solved exactly, and a model m (eps or
/// x0) under an integral:
///   x_t = decay x_s - gain * sum_n c_n(k) m^(n),   h = lambda_t - lambda_s,   c_1 = phi_1(k), ...
///          decay                      gain     k
///   eps    alpha_t / alpha_s          sigma_t  h
///   x0     sigma_t / sigma_s          alpha_t  -h
///   SDE    sigma_t / sigma_s e^(-h)   alpha_t  -2h      m = x0, plus sigma_t sqrt(1 - e^(-2h))
///   noise
/// Source: Lu et al. 2022, arXiv:2206.00927, eq. 3.4; arXiv:2211.01095, eq. 8 and section 5.
enum class ModelKind { eps, x0, x0_sde };

struct ExponentialStep {
  double decay, gain, k, h;
  double noise;  ///< standard deviation of the noise to add
};
ExponentialStep exponential_step(ModelKind kind, const Knot& s, const Knot& t);

/// m at (x, t).
torch::Tensor evaluate(const SamplerCall& call,
                       ModelKind kind,
                       const torch::Tensor& x,
                       const Knot& t);

}  // namespace uvic::diffusion
