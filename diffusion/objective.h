// The training objective: x_t, the time, the target and the weight of the squared error.
#pragma once

#include "base/position_random.h"
#include "base/table.h"
#include "base/torch.h"
#include "diffusion/noise_schedule.h"

namespace uvic::diffusion {

/// A distribution of training times.
struct TimestepSampling {
  const char* name;
  const char* help;
  torch::Tensor (*times)(const DiffusionConfig& config,
                         const NoiseSchedule& schedule,
                         const base::PositionRandom& random,
                         int64_t strata);  ///< float64 [B]
};
base::Table<TimestepSampling>& timestep_sampling_kinds();

/// A weight on the squared error of x0 as a function of snr = (alpha / sigma)^2, float64.
struct LossWeight {
  const char* name;
  const char* help;
  torch::Tensor (*of_x0)(const DiffusionConfig& config,
                         const torch::Tensor& snr);  ///< null: 1 for every prediction
};
base::Table<LossWeight>& loss_weight_kinds();

/// The clean images of other examples, for the contrastive term. Example i is pushed away from the
/// target of example `positions[i]` where `counts[i]` is 1.
struct OtherExamples {
  torch::Tensor x0;         ///< [B, C, H, W] float32; undefined: no contrastive term
  torch::Tensor positions;  ///< int64 [B]: their noise is that of their own places
  torch::Tensor counts;     ///< float32 [B], 0 or 1
};

struct TrainingExample {
  torch::Tensor
      x_t;  ///< [B, C, H, W] float32, times schedule.input_scale: the input of the network
  torch::Tensor network_time;  ///< [B] float32
  torch::Tensor target;        ///< [B, C, H, W] float32
  torch::Tensor weight;        ///< [B] float32

  /// The direction of the velocity that a prediction p means is that of
  /// `velocity_of_prediction` p + `velocity_of_x` x_t, [B, 1, 1, 1] float32.
  torch::Tensor velocity_of_prediction{}, velocity_of_x{};

  torch::Tensor other_target{};  ///< [B, C, H, W] float32, or undefined: no contrastive term
  torch::Tensor other_counts{};  ///< [B] float32

  /// The same image and noise at an earlier time, as x_t and network_time; undefined without
  /// alignment_loss.
  torch::Tensor cleaner_x_t{}, cleaner_time{};
};

/// x_t = alpha(t) x0 + sigma(t) eps with t by config.timestep_sampling and eps ~ N(0, I).
///
/// x0 is float32 [B, C, H, W] in [-1, 1] (or latents), on the device of `random`. The positions of
/// `random` are those of the examples: an example depends on the seed and on its position only, not
/// on the rest of the batch. `strata`: see sample_training_times(). `others`, if config has a
/// contrastive_loss, gives other_target: the target that x0 and eps of the other example have at
/// the time of this one. With alignment_loss the example has a cleaner self, at the time
///
///   min(t, max(t - d, schedule.t_min())),  d ~ U[0, alignment_time]
///
/// Source: Jiang et al. 2025, arXiv:2505.02831 (SRA). Source: Ho et al. 2020, arXiv:2006.11239, algorithm 1. Continuous t: Song
/// et al. 2021, arXiv:2011.13456.
TrainingExample make_training_example(const DiffusionConfig& config,
                                      const NoiseSchedule& schedule,
                                      const torch::Tensor& x0,
                                      const base::PositionRandom& random,
                                      int64_t strata,
                                      const OtherExamples& others = {});

/// The s of the shift of times: config.time_shift, or with 0 sqrt(channels height width / 4096).
/// Source: Zheng et al. 2025, arXiv:2510.11690, which gives 4096 numbers a shift of 1.
double resolved_time_shift(const DiffusionConfig& config,
                           int64_t channels,
                           int64_t height,
                           int64_t width);

/// s u / (1 + (s - 1) u), which multiplies u / (1 - u) by s. Source: Esser et al. 2024,
/// arXiv:2403.03206, section 5.3.2.
torch::Tensor shift_times(double s, const torch::Tensor& u);

/// The same at given times t and with given noise: t float64 [B], eps in the shape of x0.
TrainingExample make_example_at(const DiffusionConfig& config,
                                const NoiseSchedule& schedule,
                                const torch::Tensor& x0,
                                const torch::Tensor& t,
                                const torch::Tensor& eps);

/// Training times by config.timestep_sampling, float64 [B], on the device of `random`. With
/// S = `strata` (the images of an optimizer step) and p the position of an example:
///
///   uniform          t = training_time(u), u ~ U[0, 1)
///   stratified       u ~ U[i / S, (i + 1) / S), i = p mod S
///   low_discrepancy  u = frac(i / S + v), one v for each S positions
///                    Kingma et al. 2021, arXiv:2107.00630, appendix I
///   logit_normal     u = sigmoid(N(logit_mean, logit_std))
///                    Esser et al. 2024, arXiv:2403.03206
///   log_normal       log(sigma / alpha) ~ N(log_sigma_mean, log_sigma_std)
///                    Karras et al. 2022, arXiv:2206.00364
///
/// With s = config.time_shift (not 0 here), u becomes shift_times(s, u), and log_normal's mean
/// log_sigma_mean + log(s): on rectified flow, where u is t and sigma / alpha is t / (1 - t), both
/// are the same.
torch::Tensor sample_training_times(const DiffusionConfig& config,
                                    const NoiseSchedule& schedule,
                                    const base::PositionRandom& random,
                                    int64_t strata);

/// The weight of the squared error of each example, float64, in the shape of t. With
/// snr = (alpha / sigma)^2, the weight of the error of x0 is:
///
///   min_snr        min(snr, gamma)           Hang et al. 2023, arXiv:2303.09556
///   truncated_snr  max(snr, 1)               Salimans & Ho 2022, arXiv:2202.00512
///   edm            snr + 1 / sigma_data^2    Karras et al. 2022, arXiv:2206.00364
///   velocity       1 / max(t, m)^2           Li & He 2025, arXiv:2511.13720 (JiT)
///
/// where t = sigma / (alpha + sigma), the time of rectified flow, and m = velocity_t_min: for x0 on
/// rectified flow it is the squared error of the velocity (x_t - x0) / max(t, m).
/// It is converted to the prediction of the network. simple is 1 for every prediction.
torch::Tensor loss_weights(const DiffusionConfig& config,
                           const NoiseSchedule& schedule,
                           const torch::Tensor& t);

/// The loss of each example, float32 [B] for every dtype of the prediction p:
///
///   weight * mean((p - target)^2)
///     + direction_loss * mean over places of (1 - cos(v(p), v(target)))
///     - contrastive_loss * other_counts * weight * mean((p - other_target)^2)
///
/// v(p) is the direction of the velocity, see TrainingExample; cos is between the channels of a
/// place, and its denominator is at least 1e-8. Sources: direction: Yao et al. 2025,
/// arXiv:2501.01423, and its code. contrastive: Stoica et al. 2025, arXiv:2506.05350. Throws
/// std::invalid_argument unless prediction has the shape of x_t.
torch::Tensor diffusion_losses(const DiffusionConfig& config,
                               const torch::Tensor& prediction,
                               const TrainingExample& example);

}  // namespace uvic::diffusion
