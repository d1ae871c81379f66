#include "diffusion/samplers/heun.h"

#include <algorithm>
#include <cmath>

#include "diffusion/combine.h"

namespace uvic::diffusion {
namespace {

double noise_level(const Knot& at) { return at.sigma / at.alpha; }

/// The noise level after churn.
double churned(const SamplerCall& call, double level, size_t steps) {
  const auto& config = call.config;
  const bool inside = level >= config.s_tmin && (config.s_tmax == 0 || level <= config.s_tmax);
  if (!inside || config.s_churn == 0) return level;
  const double gamma = std::min(config.s_churn / static_cast<double>(steps), std::sqrt(2.0) - 1);
  const double highest = std::exp(-call.schedule.half_logsnr(call.schedule.t_max()));
  return std::max(level, std::min(level * (1 + gamma), highest));
}

}  // namespace

torch::Tensor sample_heun(const SamplerCall& call, torch::Tensor x) {
  const auto times = call.step_times();
  const size_t steps = times.size() - 1;
  for (size_t i = 0; i < steps; ++i) {
    auto s = knot(call.schedule, times[i]);
    const auto t = knot(call.schedule, times[i + 1]);
    const double level = noise_level(s), raised = churned(call, level, steps);
    if (raised > level) {
      const auto hat = knot(call.schedule, call.schedule.inverse_half_logsnr(-std::log(raised)));
      const double added =
          hat.alpha * std::sqrt(raised * raised - level * level) * call.config.s_noise;
      x = combine({{hat.alpha / s.alpha, x}, {added, call.noise_like(x)}});
      s = hat;
    }
    // The step in x / alpha is (change of sigma / alpha) * slope; the factor t.alpha converts to x.
    const double width = t.alpha * (noise_level(t) - noise_level(s)), kept = t.alpha / s.alpha;
    const auto slope = call.predict_eps(x, s.t);
    const auto euler = combine({{kept, x}, {width, slope}});
    if (t.t > 0) {
      const auto slope_there = call.predict_eps(euler, t.t);
      x = combine({{kept, x}, {width / 2, slope}, {width / 2, slope_there}});
    } else {
      x = euler;
    }
    call.step_done(i + 1, steps, t.t, x);
  }
  return x;
}

}  // namespace uvic::diffusion
