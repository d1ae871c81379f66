// The arguments of a sampler.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/torch.h"
#include "diffusion/denoiser.h"
#include "diffusion/noise.h"
#include "diffusion/noise_schedule.h"
#include "diffusion/sampler.h"

namespace uvic::diffusion {

/// One run of a sampler, with the defaults filled in. With t_start < t_end the ODE samplers run
/// backwards, from an image to noise.
struct SamplerCall {
  Denoiser predict_eps;
  const NoiseSchedule& schedule;
  const SamplerConfig& config;
  NoiseSource& noise;
  std::string grid;
  double t_start, t_end;
  bool to_zero;  ///< add a last step from t_end to an x0 prediction

  /// Called after every step with the current time. May change x (inpainting does).
  std::function<void(int64_t step, int64_t steps, double t, torch::Tensor& x)> after_step;

  /// intervals + 1 times from t_start to t_end.
  std::vector<double> times(int64_t intervals) const;

  /// The times of a sampler with one evaluation per step: steps + 1 points from t_start to t_end.
  /// If to_zero: steps points and then 0.
  std::vector<double> step_times() const;

  /// Noise in the shape and dtype of x, for each image from its own generator.
  torch::Tensor noise_like(const torch::Tensor& x) const;

  void step_done(int64_t step, int64_t steps, double t, torch::Tensor& x) const {
    if (after_step) after_step(step, steps, t, x);
  }
};

/// The validated call of sample().
SamplerCall make_call(const Denoiser& denoiser,
                      const NoiseSchedule& schedule,
                      const SamplerConfig& config,
                      NoiseSource& noise);

/// Runs the sampler of call.config on x_T (float32 or float64), without autograd.
torch::Tensor run_sampler(const SamplerCall& call, torch::Tensor x_T);

/// alpha, sigma and half_logsnr at one time. At t = 0: 1, 0 and infinity.
struct Knot {
  double t, log_alpha, alpha, sigma, lambda;
};
Knot knot(const NoiseSchedule& schedule, double t);

}  // namespace uvic::diffusion
