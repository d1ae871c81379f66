#include "diffusion/objective.h"

#include <fmt/format.h>

#include <sstream>
#include <stdexcept>

#include "diffusion/prediction.h"

namespace uvic::diffusion {
namespace {

torch::Tensor per_image(const torch::Tensor& values) {
  return values.to(torch::kFloat32).view({-1, 1, 1, 1});
}

}  // namespace

torch::Tensor sample_training_times(const DiffusionConfig& config,
                                    const NoiseSchedule& schedule,
                                    const base::PositionRandom& random,
                                    int64_t strata) {
  constexpr auto kTime = base::RandomUse::kTime;
  const auto& kind = config.timestep_sampling;
  if (kind == "logit_normal") {
    const auto z = random.normal(kTime);
    return schedule.training_time((z * config.logit_std + config.logit_mean).sigmoid());
  }
  if (kind == "log_normal") {
    const auto z = random.normal(kTime);
    const auto t =
        schedule.inverse_half_logsnr(-(z * config.log_sigma_std + config.log_sigma_mean));
    return t.clamp_max(schedule.t_max());
  }
  if (kind == "uniform") return schedule.training_time(random.uniform(kTime));
  const auto& p = random.positions();
  const auto i = p.remainder(strata).to(torch::kFloat64), S = torch::full_like(i, strata);
  if (kind == "stratified") return schedule.training_time((i + random.uniform(kTime)) / S);
  if (kind == "low_discrepancy") {
    const base::PositionRandom of_step(random.seed(), p.div(strata, "floor"));
    return schedule.training_time((i / S + of_step.uniform(kTime)).frac());
  }
  config.validate();
  throw std::invalid_argument(fmt::format("timestep_sampling: \"{}\" is not implemented", kind));
}

torch::Tensor loss_weights(const DiffusionConfig& config,
                           const NoiseSchedule& schedule,
                           const torch::Tensor& t) {
  if (config.loss_weight == "simple") return torch::ones_like(t);
  // Beyond e^(+-30) the weights are at their limits; infinities (t = 0) would turn into 0 * inf.
  const auto lambda = schedule.half_logsnr(t).clamp(-30, 30);
  const auto snr = (2 * lambda).exp();
  const auto to_prediction =
      x0_sensitivity(parse_prediction(config.prediction), (-lambda).exp(), config.sigma_data)
          .square();
  if (config.loss_weight == "min_snr") return snr.clamp_max(config.min_snr_gamma) * to_prediction;
  if (config.loss_weight == "truncated_snr") return snr.clamp_min(1) * to_prediction;
  if (config.loss_weight == "edm")
    return (snr + 1 / (config.sigma_data * config.sigma_data)) * to_prediction;
  config.validate();
  throw std::invalid_argument(
      fmt::format("loss_weight: \"{}\" is not implemented", config.loss_weight));
}

TrainingExample make_training_example(const DiffusionConfig& config,
                                      const NoiseSchedule& schedule,
                                      const torch::Tensor& x0,
                                      const base::PositionRandom& random,
                                      int64_t strata) {
  torch::NoGradGuard no_grad;
  if (x0.dim() != 4 || x0.scalar_type() != torch::kFloat32)
    throw std::invalid_argument(fmt::format(
        "make_training_example: x0 is {} of {} dimensions, expected float32 [B, C, H, W]",
        toString(x0.scalar_type()),
        x0.dim()));
  const auto t = sample_training_times(config, schedule, random, strata);         // [B]
  const auto eps = random.normals(base::RandomUse::kNoise, x0.sizes().slice(1));  // [B, C, H, W]
  const auto alpha = schedule.alpha(t).view({-1, 1, 1, 1}),
             sigma = schedule.sigma(t).view({-1, 1, 1, 1});
  const auto x_t = per_image(alpha) * x0 + per_image(sigma) * eps;
  TrainingExample example;
  example.x_t = per_image(schedule.input_scale(t)) * x_t;
  example.network_time = schedule.network_time(t).to(torch::kFloat32);
  example.target =
      make_target(parse_prediction(config.prediction), x0, eps, alpha, sigma, config.sigma_data);
  example.weight = loss_weights(config, schedule, t).to(torch::kFloat32);
  return example;
}

torch::Tensor diffusion_losses(const torch::Tensor& prediction, const TrainingExample& example) {
  if (prediction.sizes() != example.target.sizes()) {
    std::ostringstream shapes;
    shapes << "diffusion_losses: prediction is " << prediction.sizes() << ", target is "
           << example.target.sizes() << "; the network must keep the shape of x_t";
    throw std::invalid_argument(shapes.str());
  }
  const auto error = prediction.to(torch::kFloat32) - example.target;
  return error.square().flatten(1).mean(1) * example.weight;  // [B]
}

}  // namespace uvic::diffusion
