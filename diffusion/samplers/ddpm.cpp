#include "diffusion/samplers/ddpm.h"

#include <cmath>

#include "diffusion/combine.h"

namespace uvic::diffusion {

Posterior ddpm_posterior(const Knot& s, const Knot& t) {
  const double ratio = s.alpha / t.alpha, kept = t.sigma * t.sigma / (s.sigma * s.sigma);
  // beta / sigma_s^2 = 1 - e^(2 (lambda_s - lambda_t))
  const double added = -std::expm1(2 * (s.lambda - t.lambda));
  const double beta = s.sigma * s.sigma * added;
  return {ratio * kept, t.alpha * added, beta * kept, beta};
}

torch::Tensor sample_ddpm(const SamplerCall& call, torch::Tensor x) {
  const auto times = call.step_times();
  const bool large = call.config.ddpm_variance == "large";
  for (size_t i = 0; i + 1 < times.size(); ++i) {
    const auto s = knot(call.schedule, times[i]), t = knot(call.schedule, times[i + 1]);
    const auto q = ddpm_posterior(s, t);
    const auto eps = call.predict_eps(x, s.t);
    // of_x x + of_x0 x0, with x0 = (x - sigma_s eps) / alpha_s
    x = combine({{q.of_x + q.of_x0 / s.alpha, x}, {-q.of_x0 * s.sigma / s.alpha, eps}});
    const double variance = large ? q.large_variance : q.small_variance;
    if (t.t > 0)
      x = combine(
          {{1, x}, {std::sqrt(variance), call.noise_like(x)}});  // the last mean is x0 itself
    call.step_done(i + 1, times.size() - 1, t.t, x);
  }
  return x;
}

}  // namespace uvic::diffusion
