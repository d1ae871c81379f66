#include "diffusion/guidance.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <utility>

#include "diffusion/combine.h"
#include "diffusion/noise_schedule.h"

namespace uvic::diffusion {

void GuidanceConfig::validate() const {
  base::check_fields(*this);
  if (guidance_t_high > 0 && guidance_t_high <= guidance_t_low)
    throw std::invalid_argument(
        fmt::format("--guidance_t_low {}, --guidance_t_high {}: give guidance_t_low < "
                    "guidance_t_high, or 0 for no upper limit",
                    guidance_t_low,
                    guidance_t_high));
}

double GuidanceConfig::scale_at(double t) const {
  const bool inside = t > guidance_t_low && (guidance_t_high == 0 || t <= guidance_t_high);
  return inside ? guidance_scale : 1;
}

Denoiser make_guided_denoiser(ConditionalNetwork network,
                              torch::Tensor condition,
                              torch::Tensor null_condition,
                              std::shared_ptr<const NoiseSchedule> schedule,
                              const DiffusionConfig& config,
                              const GuidanceConfig& guidance) {
  guidance.validate();
  if (condition.sizes() != null_condition.sizes())
    throw std::invalid_argument(
        fmt::format("guidance: the condition has {} elements for {} images, the null condition "
                    "{} for {}; give equal shapes",
                    condition.numel(),
                    condition.size(0),
                    null_condition.numel(),
                    null_condition.size(0)));
  const auto both = torch::cat({null_condition, condition});
  const auto bind = [&](torch::Tensor c) {
    return make_denoiser([network, c](const torch::Tensor& x,
                                      const torch::Tensor& time) { return network(x, time, c); },
                         schedule,
                         config);
  };
  return [guidance,
          conditional = bind(condition),
          unconditional = bind(null_condition),
          pair = bind(both)](const torch::Tensor& x, double t) {
    const double w = guidance.scale_at(t);
    if (w == 1) return conditional(x, t);
    if (w == 0) return unconditional(x, t);
    const auto eps = pair(torch::cat({x, x}), t).chunk(2);
    return combine({{1 - w, eps[0]}, {w, eps[1]}});
  };
}

Denoiser autoguide(Denoiser denoiser, Denoiser weaker, const GuidanceConfig& guidance) {
  guidance.validate();
  return [=, denoiser = std::move(denoiser), weaker = std::move(weaker)](const torch::Tensor& x,
                                                                         double t) {
    const double w = guidance.scale_at(t);
    if (w == 1) return denoiser(x, t);
    return combine({{1 - w, weaker(x, t)}, {w, denoiser(x, t)}});
  };
}

}  // namespace uvic::diffusion
