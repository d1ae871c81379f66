// What a training step asks of the network: x_t, the time, the target and the weight of its error.
#pragma once

#include <torch/torch.h>

#include "diffusion/noise_schedule.h"

namespace uvic::diffusion {

struct TrainingExample {
  torch::Tensor
      x_t;  ///< [B, C, H, W] float32, scaled as the network wants it (schedule.input_scale)
  torch::Tensor network_time;  ///< [B] float32
  torch::Tensor target;        ///< [B, C, H, W] float32
  torch::Tensor weight;        ///< [B] float32
};

/// Draws t by config.timestep_sampling, then eps ~ N(0, I), and mixes x_t = alpha(t) x0 + sigma(t)
/// eps.
///
/// x0 is float32 in [-1, 1] (or latents), on any device. Every random number comes from `generator`
/// (t first, then eps), drawn on its device: equal generators give equal examples. Source: Ho et
/// al. 2020, arXiv:2006.11239, algorithm 1; Song et al. 2021, arXiv:2011.13456, for continuous t.
TrainingExample make_training_example(const DiffusionConfig& config,
                                      const NoiseSchedule& schedule,
                                      const torch::Tensor& x0,
                                      at::Generator generator);

/// count training times, float64 on the generator's device, by config.timestep_sampling.
///   uniform          t = training_time(u), u ~ U[0, 1)
///   stratified       u_i ~ U[i/B, (i+1)/B)
///   low_discrepancy  u_i = frac(u + i/B), one u                     Kingma et al. 2021,
///   arXiv:2107.00630, appendix I logit_normal     u = sigmoid(N(logit_mean, logit_std)) Esser et
///   al. 2024, arXiv:2403.03206 log_normal       log(sigma / alpha) ~ N(log_sigma_mean,
///   log_sigma_std)   Karras et al. 2022, arXiv:2206.00364
torch::Tensor sample_training_times(const DiffusionConfig& config,
                                    const NoiseSchedule& schedule,
                                    int64_t count,
                                    at::Generator generator);

/// The weight of each example's squared error, float64, shape of t. On an error of x0 it is, with
/// snr = (alpha / sigma)^2,
///   min_snr        min(snr, gamma)               Hang et al. 2023, arXiv:2303.09556
///   truncated_snr  max(snr, 1)                   Salimans & Ho 2022, arXiv:2202.00512
///   edm            snr + 1 / sigma_data^2        Karras et al. 2022, arXiv:2206.00364
/// and is converted to the network's own prediction; simple is 1 on whatever is predicted.
torch::Tensor loss_weights(const DiffusionConfig& config,
                           const NoiseSchedule& schedule,
                           const torch::Tensor& t);

/// Squared error: mean over pixels, times weight, mean over the batch; a float32 scalar, whatever
/// the dtype of the prediction.
torch::Tensor diffusion_loss(const torch::Tensor& prediction, const TrainingExample& example);

}  // namespace uvic::diffusion
