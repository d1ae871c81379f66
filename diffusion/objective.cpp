#include "diffusion/objective.h"

#include <fmt/format.h>

#include <cmath>
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
           [](const DiffusionConfig& config,
              const NoiseSchedule& schedule,
              const Random& random,
              int64_t) {
             return schedule.training_time(shift_times(config.time_shift, random.uniform(kTime)));
           }},
          {"stratified",
           "one in each 1 / batch_size",
           [](const DiffusionConfig& config,
              const NoiseSchedule& schedule,
              const Random& random,
              int64_t strata) {
             const auto [i, S] = stratum(random, strata);
             return schedule.training_time(
                 shift_times(config.time_shift, (i + random.uniform(kTime)) / S));
           }},
          {"low_discrepancy",
           "1 / batch_size apart, one offset a batch",
           [](const DiffusionConfig& config,
              const NoiseSchedule& schedule,
              const Random& random,
              int64_t strata) {
             const auto [i, S] = stratum(random, strata);
             const Random of_step(random.seed(), random.positions().div(strata, "floor"));
             return schedule.training_time(
                 shift_times(config.time_shift, (i / S + of_step.uniform(kTime)).frac()));
           }},
          {"logit_normal",
           "log(t / (1 - t)) is normal",
           [](const DiffusionConfig& config,
              const NoiseSchedule& schedule,
              const Random& random,
              int64_t) {
             const auto z = random.normal(kTime);
             const auto u = (z * config.logit_std + config.logit_mean).sigmoid();
             return schedule.training_time(shift_times(config.time_shift, u));
           }},
          {"log_normal",
           "log(sigma / alpha) is normal, as in EDM",
           [](const DiffusionConfig& config,
              const NoiseSchedule& schedule,
              const Random& random,
              int64_t) {
             const auto z = random.normal(kTime);
             auto log_sigma = z * config.log_sigma_std + config.log_sigma_mean;
             if (config.time_shift != 1) log_sigma = log_sigma + std::log(config.time_shift);
             return schedule.inverse_half_logsnr(-log_sigma).clamp_max(schedule.t_max());
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
          {"velocity",
           "squared error of rectified flow's velocity, whatever is predicted",
           [](const DiffusionConfig& config, const torch::Tensor& snr) {
             const auto t = 1 / (1 + snr.sqrt());  // sigma / (alpha + sigma)
             return t.clamp_min(config.velocity_t_min).square().reciprocal();
           }},
      });
  return kinds;
}

namespace {

void add_cleaner_self(const DiffusionConfig& config,
                      const NoiseSchedule& schedule,
                      const torch::Tensor& x0,
                      const torch::Tensor& t,
                      const torch::Tensor& eps,
                      const base::PositionRandom& random,
                      TrainingExample& example) {
  const auto earlier = t - config.alignment_time * random.uniform(base::RandomUse::kAlignment);
  const auto at = torch::minimum(t, earlier.clamp_min(schedule.t_min()));  // [B]
  example.cleaner_x_t = per_image(schedule.input_scale(at)) *
                        (per_image(schedule.alpha(at)) * x0 + per_image(schedule.sigma(at)) * eps);
  example.cleaner_time = schedule.network_time(at).to(torch::kFloat32);
}

}  // namespace

double resolved_time_shift(const DiffusionConfig& config,
                           int64_t channels,
                           int64_t height,
                           int64_t width) {
  constexpr double kNumbersOfShiftOne = 4096;
  if (config.time_shift > 0) return config.time_shift;
  return std::sqrt(static_cast<double>(channels * height * width) / kNumbersOfShiftOne);
}

torch::Tensor shift_times(double s, const torch::Tensor& u) {
  return s == 1 ? u : s * u / (1 + (s - 1) * u);
}

torch::Tensor sample_training_times(const DiffusionConfig& config,
                                    const NoiseSchedule& schedule,
                                    const base::PositionRandom& random,
                                    int64_t strata) {
  base::require(config.time_shift > 0,
                "sample_training_times: time_shift 0 depends on the resolution; pass "
                "resolved_time_shift()");
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
                                      int64_t strata,
                                      const OtherExamples& others) {
  torch::NoGradGuard no_grad;
  if (x0.dim() != 4 || x0.scalar_type() != torch::kFloat32)
    throw std::invalid_argument(fmt::format(
        "make_training_example: x0 is {} of {} dimensions, expected float32 [B, C, H, W]",
        toString(x0.scalar_type()),
        x0.dim()));
  auto shifted = config;
  shifted.time_shift = resolved_time_shift(config, x0.size(1), x0.size(2), x0.size(3));
  const auto t = sample_training_times(shifted, schedule, random, strata);        // [B]
  const auto eps = random.normals(base::RandomUse::kNoise, x0.sizes().slice(1));  // [B, C, H, W]
  auto example = make_example_at(config, schedule, x0, t, eps);
  if (config.alignment_loss > 0) add_cleaner_self(config, schedule, x0, t, eps, random, example);
  if (config.contrastive_loss == 0 || !others.x0.defined()) return example;
  const base::PositionRandom of_others(random.seed(), others.positions);
  const auto other_eps = of_others.normals(base::RandomUse::kNoise, x0.sizes().slice(1));
  example.other_target = make_target(parse_prediction(config.prediction),
                                     others.x0,
                                     other_eps,
                                     schedule.alpha(t).view({-1, 1, 1, 1}),
                                     schedule.sigma(t).view({-1, 1, 1, 1}),
                                     config.sigma_data);
  example.other_counts = others.counts;
  return example;
}

TrainingExample make_example_at(const DiffusionConfig& config,
                                const NoiseSchedule& schedule,
                                const torch::Tensor& x0,
                                const torch::Tensor& t,
                                const torch::Tensor& eps) {
  torch::NoGradGuard no_grad;
  const auto alpha = schedule.alpha(t).view({-1, 1, 1, 1}),
             sigma = schedule.sigma(t).view({-1, 1, 1, 1});
  const auto kind = parse_prediction(config.prediction);
  const auto x_t = per_image(alpha) * x0 + per_image(sigma) * eps;
  const auto input_scale = schedule.input_scale(t);
  TrainingExample example;
  example.x_t = per_image(input_scale) * x_t;
  example.network_time = schedule.network_time(t).to(torch::kFloat32);
  example.target = make_target(kind, x0, eps, alpha, sigma, config.sigma_data);
  example.weight = loss_weights(config, schedule, t).to(torch::kFloat32);
  if (config.direction_loss > 0) {
    const auto [of_p, of_x] = velocity_direction(kind, alpha, sigma, config.sigma_data);
    example.velocity_of_prediction = per_image(of_p);
    example.velocity_of_x = per_image(of_x.flatten() / input_scale);  // x_t above is scaled
  }
  return example;
}

namespace {

/// mean over pixels of (a - b)^2, [B].
torch::Tensor mean_square(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).square().flatten(1).mean(1);
}

/// mean over places of 1 - cos(v(p), v(target)), [B].
torch::Tensor direction_losses(const torch::Tensor& p, const TrainingExample& example) {
  constexpr double kLeastNorm = 1e-8;
  const auto of_x = example.velocity_of_x * example.x_t;
  const auto v = example.velocity_of_prediction * p + of_x,
             to = example.velocity_of_prediction * example.target + of_x;
  const auto cos = torch::cosine_similarity(v, to, /*dim=*/1, kLeastNorm);  // [B, H, W]
  return 1 - cos.flatten(1).mean(1);
}

}  // namespace

torch::Tensor diffusion_losses(const DiffusionConfig& config,
                               const torch::Tensor& prediction,
                               const TrainingExample& example) {
  base::require(prediction.sizes() == example.target.sizes(),
                "diffusion_losses: prediction is {}, target is {}; the network must keep the shape "
                "of x_t",
                base::shape_text(prediction),
                base::shape_text(example.target));
  const auto p = prediction.to(torch::kFloat32);
  auto losses = mean_square(p, example.target) * example.weight;  // [B]
  if (config.direction_loss > 0)
    losses = losses + config.direction_loss * direction_losses(p, example);
  if (config.contrastive_loss > 0 && example.other_target.defined())
    losses = losses - config.contrastive_loss * example.other_counts * example.weight *
                          mean_square(p, example.other_target);
  return losses;
}

}  // namespace uvic::diffusion
