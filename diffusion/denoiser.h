// The network as the samplers see it: a function that predicts eps.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <memory>
#include <string>

#include "diffusion/noise_schedule.h"

namespace uvic::diffusion {

/// Raw network output, shape of x; its condition is bound inside. network_time is float32 [B].
using Network =
    std::function<torch::Tensor(const torch::Tensor& x, const torch::Tensor& network_time)>;

/// Predicts eps at (x_t, t): shape and dtype of x.
using Denoiser = std::function<torch::Tensor(const torch::Tensor& x, double t)>;

/// Feeds the network input_scale(t) x and network_time(t), and turns what it predicts
/// (config.prediction) into eps.
Denoiser make_denoiser(Network network,
                       std::shared_ptr<const NoiseSchedule> schedule,
                       const DiffusionConfig& config);

/// x0 = (x_t - sigma eps) / alpha.
torch::Tensor predict_x0(const Denoiser& predict_eps,
                         const NoiseSchedule& schedule,
                         const torch::Tensor& x,
                         double t);

/// Keeps the implied x0 within range: kind none | clip (to [-max, max]) | dynamic.
///
/// dynamic: s = the `ratio` quantile of |x0| over one picture; where s > max, x0 is clipped to [-s,
/// s] and multiplied by max / s; else it is clipped to [-max, max]. For pixels, not for latents.
/// Source: Saharia et al. 2022, arXiv:2205.11487, section 2.3.
Denoiser with_thresholding(Denoiser predict_eps,
                           const NoiseSchedule& schedule,
                           const std::string& kind,
                           double ratio,
                           double max);

/// The rule itself, on x0 [B, ...].
torch::Tensor dynamic_threshold(const torch::Tensor& x0, double ratio, double max);

}  // namespace uvic::diffusion
