#include "diffusion/samplers/euler_maruyama.h"

#include <cmath>

#include "diffusion/combine.h"

namespace uvic::diffusion {
namespace {

torch::Tensor integrate(const SamplerCall& call, torch::Tensor x, bool stochastic) {
  const auto times = call.step_times();
  for (size_t i = 0; i + 1 < times.size(); ++i) {
    const double s = times[i], t = times[i + 1], dt = t - s;
    const double g2 = call.schedule.squared_diffusion(s);
    const double of_eps = (stochastic ? 1.0 : 0.5) * g2 / call.schedule.sigma(s);
    const auto eps = call.predict_eps(x, s);
    x = combine({{1 + call.schedule.drift_rate(s) * dt, x}, {of_eps * dt, eps}});
    if (stochastic && t > 0) x = combine({{1, x}, {std::sqrt(g2 * -dt), call.noise_like(x)}});
    call.step_done(i + 1, times.size() - 1, t, x);
  }
  return x;
}

}  // namespace

torch::Tensor sample_euler_maruyama(const SamplerCall& call, torch::Tensor x) {
  return integrate(call, std::move(x), true);
}

torch::Tensor sample_euler(const SamplerCall& call, torch::Tensor x) {
  return integrate(call, std::move(x), false);
}

}  // namespace uvic::diffusion
