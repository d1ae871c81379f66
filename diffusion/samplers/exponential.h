// One step of an exponential integrator, the common part of DPM-Solver, DPM-Solver++, its SDE form
// and UniPC.
#pragma once

#include <cstdint>

#include "base/torch.h"
#include "diffusion/samplers/sampler_call.h"

namespace uvic::diffusion {

/// phi(1, k) = e^k - 1 and phi(n + 1, k) = phi(n, k) / k - 1 / n!. Accurate for small k.
double phi(int n, double k);

/// What the integrator expands in a Taylor series: the model output m, as eps or as x0, for the ODE
/// or for the reverse SDE.
enum class ModelKind { eps, x0, x0_sde };

/// The coefficients of one step. In half_logsnr, the linear part of the diffusion ODE has an exact
/// solution, and m is under an integral:
///
///   x_t = decay x_s - gain * (phi(1, k) m + phi(2, k) m' + phi(3, k) m'' + ...),
///   h = lambda_t - lambda_s,
///
/// with the derivatives m', m'' in units of h, and
///
///            decay                      gain     k
///   eps      alpha_t / alpha_s          sigma_t  h
///   x0       sigma_t / sigma_s          alpha_t  -h
///   x0_sde   sigma_t / sigma_s e^(-h)   alpha_t  -2h      plus sigma_t sqrt(1 - e^(-2h)) noise
///
/// Source: Lu et al. 2022, arXiv:2206.00927, eq. 3.4; arXiv:2211.01095, eq. 8 and section 5.
struct ExponentialStep {
  double decay, gain, k, h;
  double noise;  ///< standard deviation of the noise to add
};
ExponentialStep exponential_step(ModelKind kind, const Knot& s, const Knot& t);

/// The model output m at (x, t).
torch::Tensor evaluate(const SamplerCall& call,
                       ModelKind kind,
                       const torch::Tensor& x,
                       const Knot& t);

/// The first-order step, in which m is constant.
torch::Tensor first_order(
    ModelKind kind, const torch::Tensor& x, const torch::Tensor& m, const Knot& s, const Knot& t);

/// The order of step i (from 0) of a multistep method, of which `known` evaluations are there:
/// min(config.order, known), and with lower_order_final at most the number of steps left,
/// config.steps - i, so that the last step has order 1. One rule for every multistep solver.
int64_t multistep_order(const SamplerConfig& config, int64_t i, int64_t known);

}  // namespace uvic::diffusion
