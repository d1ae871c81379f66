#include "diffusion/samplers/ddim.h"

#include <algorithm>
#include <cmath>

#include "diffusion/combine.h"
#include "diffusion/samplers/ddpm.h"

namespace uvic::diffusion {

torch::Tensor sample_ddim(const SamplerCall& call, torch::Tensor x) {
  const auto times = call.step_times();
  for (size_t i = 0; i + 1 < times.size(); ++i) {
    const auto s = knot(call.schedule, times[i]), t = knot(call.schedule, times[i + 1]);
    const double std =
        call.config.eta > 0 ? call.config.eta * std::sqrt(ddpm_posterior(s, t).small_variance) : 0;
    const double direction = std::sqrt(std::max(t.sigma * t.sigma - std * std, 0.0));
    const auto eps = call.predict_eps(x, s.t);
    // alpha_t x0 + direction eps, with x0 = (x - sigma_s eps) / alpha_s
    const double ratio = t.alpha / s.alpha;
    x = combine({{ratio, x}, {direction - ratio * s.sigma, eps}});
    if (std > 0) x = combine({{1, x}, {std, call.noise_like(x)}});
    call.step_done(i + 1, times.size() - 1, t.t, x);
  }
  return x;
}

}  // namespace uvic::diffusion
