// What every sampler is given.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <string>
#include <vector>

#include "diffusion/denoiser.h"
#include "diffusion/noise.h"
#include "diffusion/sampler.h"

namespace uvic::diffusion {

/// One run of a sampler, defaults filled in. t_start < t_end runs the ODE samplers backwards, from
/// picture to noise.
struct SamplerCall {
  Denoiser predict_eps;
  const NoiseSchedule& schedule;
  const SamplerConfig& config;
  NoiseSource& noise;
  std::string grid;
  double t_start, t_end;
  bool to_zero;  ///< go on from t_end to an x0 prediction

  /// Called after every step with the time reached; may change x (inpainting).
  std::function<void(int64_t step, int64_t steps, double t, torch::Tensor& x)> after_step;

  /// intervals + 1 times from t_start to t_end.
  std::vector<double> times(int64_t intervals) const;

  /// The times of a sampler that spends `steps` evaluations one per step, down to 0 where to_zero:
  /// steps points and then 0, or steps + 1 points.
  std::vector<double> step_times() const;

  /// Noise like x, each picture's from its own generator.
  torch::Tensor draw_like(const torch::Tensor& x) const;

  void step_done(int64_t step, int64_t steps, double t, torch::Tensor& x) const {
    if (after_step) after_step(step, steps, t, x);
  }
};

/// The call that sample() makes, validated.
SamplerCall make_call(const Denoiser& denoiser,
                      const NoiseSchedule& schedule,
                      const SamplerConfig& config,
                      NoiseSource& noise);

/// Runs the sampler that the call names, on x_T of the right shape, in float32 or float64, without
/// autograd.
torch::Tensor run_sampler(const SamplerCall& call, torch::Tensor x_T);

/// alpha, sigma and half_logsnr at one time. At t = 0: 1, 0 and infinity.
struct Knot {
  double t, log_alpha, alpha, sigma, lambda;
};
Knot knot(const NoiseSchedule& schedule, double t);

}  // namespace uvic::diffusion
