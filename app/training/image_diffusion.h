// Image diffusion: the objective of networks that denoise images.
#pragma once

#include <memory>

#include "app/training/objective.h"
#include "diffusion/noise_schedule.h"

namespace uvic::app {

/// Sum over images of weight * mean over pixels of (prediction - target)^2 (diffusion/objective.h),
/// with labels that become the null class with probability label_dropout.
class ImageDiffusion : public Objective {
 public:
  explicit ImageDiffusion(const RunConfig& config);

  int64_t count(const data::Batch& batch) const override { return batch.images.size(0); }
  torch::Tensor loss(model::Network& network, const data::Batch& batch) const override;

 private:
  torch::Tensor condition(const data::Batch& batch) const;

  RunConfig config_;
  model::NetworkInput input_;
  std::shared_ptr<const diffusion::NoiseSchedule> schedule_;
};

}  // namespace uvic::app
