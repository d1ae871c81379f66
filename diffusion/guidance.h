// Guidance: extrapolation from a weak prediction through a better one.
#pragma once

#include <functional>
#include <memory>

#include "base/field.h"
#include "base/tensor_fwd.h"
#include "diffusion/denoiser.h"

namespace uvic::diffusion {

struct GuidanceConfig {
  double guidance_scale = 1;
  double guidance_t_low = 0;
  double guidance_t_high = 0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit(
        "guidance_scale",
        guidance_scale,
        Field{"w in eps_u + w (eps_c - eps_u): 1 is no guidance, 0 ignores the condition (U-ViT's "
              "own scale is w - 1)",
              base::from(-1000, 1000)});
    visit("guidance_t_low",
          guidance_t_low,
          Field{"Guide only where t > guidance_t_low (edm: t is sigma); elsewhere w = 1",
                base::from(0, 1e9)}
              .advanced());
    visit("guidance_t_high",
          guidance_t_high,
          Field{"Guide only where t <= guidance_t_high; 0: no upper limit", base::from(0, 1e9)}
              .advanced());
  }

  /// Throws std::invalid_argument for an empty interval, or a scale that is not a finite number.
  void validate() const;

  /// w at time t: guidance_scale inside the interval, 1 outside.
  /// Source of the interval: Kynkaanniemi et al. 2024, arXiv:2404.07724.
  double scale_at(double t) const;
};

/// Raw network output for x [N, C, H, W], network_time [N], condition [N, ...].
using ConditionalNetwork = std::function<torch::Tensor(
    const torch::Tensor& x, const torch::Tensor& network_time, const torch::Tensor& condition)>;

/// Classifier-free guidance: eps_u + w (eps_c - eps_u).
///
/// `condition` and `null_condition` are [B, ...] (class indices, or context features). Both run as
/// one batch of 2 B, unconditional first. If w is 1, only the conditional half runs. If w is 0,
/// only the unconditional half runs. The result takes x of exactly B images. Source: Ho & Salimans
/// 2022, arXiv:2207.12598.
Denoiser make_guided_denoiser(ConditionalNetwork network,
                              torch::Tensor condition,
                              torch::Tensor null_condition,
                              std::shared_ptr<const NoiseSchedule> schedule,
                              const DiffusionConfig& config,
                              const GuidanceConfig& guidance);

/// Autoguidance: eps_weak + w (eps - eps_weak), where eps_weak is the prediction of a smaller or
/// less trained network. Source: Karras et al. 2024, arXiv:2406.02507.
Denoiser autoguide(Denoiser denoiser, Denoiser weaker, const GuidanceConfig& guidance);

}  // namespace uvic::diffusion
