// The training objective: x_t, the time, the target and the weight of the squared error.
#pragma once

#include <torch/torch.h>

#include "base/position_random.h"
#include "base/table.h"
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

struct TrainingExample {
  torch::Tensor
      x_t;  ///< [B, C, H, W] float32, times schedule.input_scale: the input of the network
  torch::Tensor network_time;  ///< [B] float32
  torch::Tensor target;        ///< [B, C, H, W] float32
  torch::Tensor weight;        ///< [B] float32
};

/// x_t = alpha(t) x0 + sigma(t) eps with t by config.timestep_sampling and eps ~ N(0, I).
///
/// x0 is float32 [B, C, H, W] in [-1, 1] (or latents), on the device of `random`. The positions of
/// `random` are those of the examples: an example depends on the seed and on its position only, not
/// on the rest of the batch. `strata`: see sample_training_times(). Source: Ho et al. 2020,
/// arXiv:2006.11239, algorithm 1. Continuous t: Song et al. 2021, arXiv:2011.13456.
TrainingExample make_training_example(const DiffusionConfig& config,
                                      const NoiseSchedule& schedule,
                                      const torch::Tensor& x0,
                                      const base::PositionRandom& random,
                                      int64_t strata);

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
///
/// It is converted to the prediction of the network. simple is 1 for every prediction.
torch::Tensor loss_weights(const DiffusionConfig& config,
                           const NoiseSchedule& schedule,
                           const torch::Tensor& t);

/// The squared error of each example, mean over pixels, times its weight. Returns float32 [B] for
/// every dtype of the prediction. Throws std::invalid_argument unless prediction has the shape of
/// x_t.
torch::Tensor diffusion_losses(const torch::Tensor& prediction, const TrainingExample& example);

}  // namespace uvic::diffusion
