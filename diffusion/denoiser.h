// The network as a function that predicts eps, which is all that a sampler needs to know.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/tensor_fwd.h"
#include "diffusion/diffusion_config.h"

namespace uvic::diffusion {

class NoiseSchedule;

/// The raw output of the network, in the shape of x. The condition is already bound. network_time
/// is float32 [B].
using Network =
    std::function<torch::Tensor(const torch::Tensor& x, const torch::Tensor& network_time)>;

/// Predicts eps at (x_t, t): shape and dtype of x.
using Denoiser = std::function<torch::Tensor(const torch::Tensor& x, double t)>;

/// Calls the network with input_scale(t) x and network_time(t), and converts its prediction
/// (config.prediction) to eps.
Denoiser make_denoiser(Network network,
                       std::shared_ptr<const NoiseSchedule> schedule,
                       const DiffusionConfig& config);

/// x0 = (x_t - sigma eps) / alpha.
torch::Tensor predict_x0(const Denoiser& predict_eps,
                         const NoiseSchedule& schedule,
                         const torch::Tensor& x,
                         double t);

/// Limits the range of the predicted x0:
///
///   none     no limit
///   clip     clip to [-max, max]
///   dynamic  see dynamic_threshold()
///
/// Throws std::invalid_argument for another kind.
Denoiser with_thresholding(Denoiser predict_eps,
                           const NoiseSchedule& schedule,
                           const std::string& kind,
                           double ratio,
                           double max);

/// Dynamic thresholding of x0 [B, ...], for pixels (not for latents).
///
/// s is the `ratio` quantile of |x0| over one image. If s > max, x0 is clipped to [-s, s] and
/// multiplied by max / s. Otherwise x0 is clipped to [-max, max].
/// Source: Saharia et al. 2022, arXiv:2205.11487, section 2.3.
torch::Tensor dynamic_threshold(const torch::Tensor& x0, double ratio, double max);

}  // namespace uvic::diffusion
