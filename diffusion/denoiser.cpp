#include "diffusion/denoiser.h"

#include <tuple>
#include <utility>
#include <vector>

#include "base/table.h"
#include "diffusion/combine.h"
#include "diffusion/noise_schedule.h"
#include "diffusion/prediction.h"

namespace uvic::diffusion {

Denoiser make_denoiser(Network network,
                       std::shared_ptr<const NoiseSchedule> schedule,
                       const DiffusionConfig& config) {
  const auto kind = parse_prediction(config.prediction);
  const double sigma_data = config.sigma_data;
  return [=, network = std::move(network)](const torch::Tensor& x, double t) {
    const auto time = torch::full(
        {x.size(0)}, schedule->network_time(t), torch::dtype(torch::kFloat32).device(x.device()));
    const auto output = network(combine({{schedule->input_scale(t), x}}), time).to(x.scalar_type());
    return eps_from(kind, output, x, schedule->alpha(t), schedule->sigma(t), sigma_data);
  };
}

torch::Tensor predict_x0(const Denoiser& predict_eps,
                         const NoiseSchedule& schedule,
                         const torch::Tensor& x,
                         double t) {
  return x0_from(Prediction::eps, predict_eps(x, t), x, schedule.alpha(t), schedule.sigma(t), 1);
}

torch::Tensor dynamic_threshold(const torch::Tensor& x0, double ratio, double max) {
  const auto magnitude = x0.abs().flatten(1);  // [B, C*H*W]
  // The quantile, by linear interpolation between order statistics. Only the largest values are
  // sorted.
  const double position = ratio * (magnitude.size(1) - 1);
  const auto below = static_cast<int64_t>(position);
  const auto largest = std::get<0>(magnitude.topk(magnitude.size(1) - below, 1));
  const auto low = largest.select(1, -1), high = largest.select(1, largest.size(1) > 1 ? -2 : -1);
  const auto quantile = low + (high - low) * (position - below);  // [B]
  std::vector<int64_t> shape(x0.dim(), 1);
  shape[0] = x0.size(0);
  const auto s = quantile.clamp_min(max).view(shape);
  return torch::minimum(torch::maximum(x0, -s), s) / (s / max);
}

Denoiser with_thresholding(Denoiser predict_eps,
                           const NoiseSchedule& schedule,
                           const std::string& kind,
                           double ratio,
                           double max) {
  if (kind != "none" && kind != "clip" && kind != "dynamic")
    base::refuse_name("thresholding", kind, {"none", "clip", "dynamic"});
  if (kind == "none") return predict_eps;
  return [=, &schedule, predict_eps = std::move(predict_eps)](const torch::Tensor& x, double t) {
    const auto x0 = predict_x0(predict_eps, schedule, x, t);
    const auto kept = kind == "clip" ? x0.clamp(-max, max) : dynamic_threshold(x0, ratio, max);
    return eps_from(Prediction::x0, kept, x, schedule.alpha(t), schedule.sigma(t), 1);
  };
}

}  // namespace uvic::diffusion
