// Image diffusion: the objective of networks that denoise images.
#pragma once

#include <memory>

#include "app/training/objective.h"
#include "diffusion/noise_schedule.h"
#include "diffusion/objective.h"

namespace uvic::app {

/// Sum over images of diffusion_losses() (diffusion/objective.h), which is
/// weight * mean over pixels of (prediction - target)^2 unless options add to it. With probability
/// label_dropout a label becomes the null class, or a context that of the empty caption.
///
/// x0 is the image in [-1, 1], or of moments (Batch::images in float32) a latent sampled from them
/// (model::sample_moments) with noise keyed by (seed, position).
///
/// With dispersive_loss, each group of G = dispersive_group examples at positions k G ... k G + G - 1
/// adds G dispersive_loss diffusion::dispersive_losses() of the patches behind a block: on the mean
/// over images that is the weight times the mean over groups, and no cut of a batch changes it.
///
/// With alignment_loss, each example adds alignment_loss alignment_losses(head(h), h'): h are the
/// patches behind alignment_block, h' those behind alignment_target of the average of the weights,
/// which sees the same image, noise and condition at an earlier time. On a bypass h and h' are those
/// of the kept patches.
///
/// With route_share, a share of the patches bypasses the blocks in the middle (model::TokenRoute):
/// which ones is a function of (seed, position). Examples at positions from route_images on have no
/// bypass. With path_drop, an example's path through those blocks is left out: chance is keyed by
/// (seed, position) too.
class ImageDiffusion : public Objective {
 public:
  ImageDiffusion(const RunConfig& config, ObjectiveInputs inputs);

  int64_t count(const data::Batch& batch) const override { return batch.images.size(0); }
  data::Batch prepare(const data::Batch& batch) const override;
  torch::Tensor loss(model::Network& network, const data::Batch& batch) const override;
  bool needs_others() const override { return config_.diffusion.contrastive_loss > 0; }
  int64_t computation(int64_t first, int64_t size) const override {
    return config_.routed_examples(first, size);
  }
  int64_t kept_together() const override { return config_.kept_together(); }
  data::Batch noise_batch(int64_t count) const override;
  double sampling_sec(model::Network& network, int64_t count) const override;

  /// x0 of a prepared batch, float32 [B, C, S, S].
  torch::Tensor clean_images(const data::Batch& batch) const {
    return clean_images(batch.images, batch.positions);
  }
  /// What the network is conditioned on, after label_dropout; undefined: nothing.
  torch::Tensor condition(const data::Batch& batch) const;

 private:
  torch::Tensor clean_images(const torch::Tensor& images, const torch::Tensor& positions) const;
  diffusion::OtherExamples others(const data::Batch& batch) const;
  torch::Tensor loss_of(model::Network& network, const data::Batch& batch, bool routed) const;
  model::TokenRoute route(const model::Network& network,
                          const data::Batch& batch,
                          bool routed) const;
  torch::Tensor target_of(const diffusion::TrainingExample& example,
                          const torch::Tensor& condition) const;
  torch::Tensor alignment(torch::Dtype compute,
                          const torch::Tensor& patches,
                          torch::Tensor target,
                          const model::TokenRoute& way) const;
  torch::Tensor dispersion(const data::Batch& batch, const torch::Tensor& patches) const;
  torch::Tensor dropped(const data::Batch& batch,
                        const torch::Tensor& condition,
                        const torch::Tensor& null_condition) const;

  RunConfig config_;
  ObjectiveInputs inputs_;
  model::NetworkInput input_;
  std::shared_ptr<const diffusion::NoiseSchedule> schedule_;
};

}  // namespace uvic::app
