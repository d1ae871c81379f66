#include "diffusion/objective.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "base/check.h"
#include "base/tensor_text.h"
#include "diffusion/prediction.h"

namespace uvic::diffusion {
namespace {

torch::Tensor per_image(const torch::Tensor& values) {
  return values.to(torch::kFloat32).view({-1, 1, 1, 1});
}

// i / S of each position, and S, as float64: i = position mod S.
std::pair<torch::Tensor, torch::Tensor> stratum(const base::PositionRandom& random,
                                                int64_t strata) {
  const auto i = random.positions().remainder(strata).to(torch::kFloat64);
  return {i, torch::full_like(i, static_cast<double>(strata))};
}

}  // namespace

base::Table<TimestepSampling>& timestep_sampling_kinds() {
  using Random = base::PositionRandom;
  constexpr auto kTime = base::RandomUse::kTime;
  static base::Table<TimestepSampling> kinds(
      "timestep_sampling",
      {
          {"uniform",
           "uniform over the schedule",
           [](const DiffusionConfig&,
              const NoiseSchedule& schedule,
              const Random& random,
              int64_t) { return schedule.training_time(random.uniform(kTime)); }},
          {"stratified",
           "one in each 1 / batch_size",
           [](const DiffusionConfig&,
              const NoiseSchedule& schedule,
              const Random& random,
              int64_t strata) {
             const auto [i, S] = stratum(random, strata);
             return schedule.training_time((i + random.uniform(kTime)) / S);
           }},
          {"low_discrepancy",
           "1 / batch_size apart, one offset a batch",
           [](const DiffusionConfig&,
              const NoiseSchedule& schedule,
              const Random& random,
              int64_t strata) {
             const auto [i, S] = stratum(random, strata);
             const Random of_step(random.seed(), random.positions().div(strata, "floor"));
             return schedule.training_time((i / S + of_step.uniform(kTime)).frac());
           }},
          {"logit_normal",
           "log(t / (1 - t)) is normal",
           [](const DiffusionConfig& config,
              const NoiseSchedule& schedule,
              const Random& random,
              int64_t) {
             const auto z = random.normal(kTime);
             return schedule.training_time((z * config.logit_std + config.logit_mean).sigmoid());
           }},
          {"log_normal",
           "log(sigma / alpha) is normal, as in EDM",
           [](const DiffusionConfig& config,
              const NoiseSchedule& schedule,
              const Random& random,
              int64_t) {
             const auto z = random.normal(kTime);
             return schedule
                 .inverse_half_logsnr(-(z * config.log_sigma_std + config.log_sigma_mean))
                 .clamp_max(schedule.t_max());
           }},
      });
  return kinds;
}

base::Table<LossWeight>& loss_weight_kinds() {
  static base::Table<LossWeight> kinds(
      "loss_weight",
      {
          {"simple", "1", nullptr},
          {"min_snr",
           "min(snr, min_snr_gamma)",
           [](const DiffusionConfig& config, const torch::Tensor& snr) {
             return snr.clamp_max(config.min_snr_gamma);
           }},
          {"truncated_snr",
           "max(snr, 1)",
           [](const DiffusionConfig&, const torch::Tensor& snr) { return snr.clamp_min(1); }},
          {"edm",
           "snr + 1 / sigma_data^2",
           [](const DiffusionConfig& config, const torch::Tensor& snr) {
             return snr + 1 / (config.sigma_data * config.sigma_data);
           }},
      });
  return kinds;
}

torch::Tensor sample_training_times(const DiffusionConfig& config,
                                    const NoiseSchedule& schedule,
                                    const base::PositionRandom& random,
                                    int64_t strata) {
  return timestep_sampling_kinds()
      .at(config.timestep_sampling)
      .times(config, schedule, random, strata);
}

torch::Tensor loss_weights(const DiffusionConfig& config,
                           const NoiseSchedule& schedule,
                           const torch::Tensor& t) {
  const auto& kind = loss_weight_kinds().at(config.loss_weight);
  if (!kind.of_x0) return torch::ones_like(t);
  // Beyond e^(+-30) the weights are at their limits. Without the bound, t = 0 gives 0 * inf.
  const auto lambda = schedule.half_logsnr(t).clamp(-30, 30);
  const auto to_prediction =
      x0_sensitivity(parse_prediction(config.prediction), (-lambda).exp(), config.sigma_data)
          .square();
  return kind.of_x0(config, (2 * lambda).exp()) * to_prediction;
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
  return make_example_at(config, schedule, x0, t, eps);
}

TrainingExample make_example_at(const DiffusionConfig& config,
                                const NoiseSchedule& schedule,
                                const torch::Tensor& x0,
                                const torch::Tensor& t,
                                const torch::Tensor& eps) {
  torch::NoGradGuard no_grad;
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
  base::require(prediction.sizes() == example.target.sizes(),
                "diffusion_losses: prediction is {}, target is {}; the network must keep the shape "
                "of x_t",
                base::shape_text(prediction),
                base::shape_text(example.target));
  const auto error = prediction.to(torch::kFloat32) - example.target;
  return error.square().flatten(1).mean(1) * example.weight;  // [B]
}

}  // namespace uvic::diffusion
