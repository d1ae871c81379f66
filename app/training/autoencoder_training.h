// Training of a KL autoencoder: loss, optimizer, state, measurements.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/training/optimizer.h"
#include "base/field.h"
#include "base/torch.h"
#include "data/batch.h"
#include "data/dataset.h"
#include "model/latent/autoencoder_layers.h"

namespace uvic::app {

/// The network that is trained. By default 0.4 M parameters, for 64 px.
struct AutoencoderShape {
  int64_t base_channels = 16;
  std::string multipliers = "1,2,3";
  int64_t blocks = 1;
  int64_t latent_channels = 4;
  int64_t norm_groups = 8;
  bool mid_attention = true;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("base_channels",
          base_channels,
          Field{"Channels of the first convolution; Stable Diffusion's has 128",
                base::from(1, 4096)});
    visit("multipliers",
          multipliers,
          Field{"Channels of each level over base_channels; every level but the last halves the "
                "image. 1,2,4,4 is Stable Diffusion's, with latents of 1/8 of the side"});
    visit("blocks",
          blocks,
          Field{"Residual blocks of a level, one more in the decoder", base::from(1, 64)});
    visit("latent_channels", latent_channels, Field{"Channels of a latent", base::from(1, 1024)});
    visit("norm_groups",
          norm_groups,
          Field{"Groups of GroupNorm; other programs expect 32", base::from(1, 4096)});
    visit("mid_attention", mid_attention, Field{"Attention at the lowest resolution"});
  }

  /// Throws std::invalid_argument naming the option that makes no network.
  model::AutoencoderKlConfig config() const;
};

struct AutoencoderLoss {
  double total = 0;
  double l1 = 0;  ///< mean |x - image|, x in [-1, 1]
  double kl = 0;  ///< nats, mean over the numbers of a latent
};

/// loss = mean |x - decode(z)| + kl_weight * (latent numbers / image numbers) * mean KL,
/// z = mean + std * noise.
///
/// KL is that of N(mean, std^2) to N(0, 1): (mean^2 + std^2 - 1 - log std^2) / 2. The weight counts
/// as in the latent diffusion code (Rombach et al. 2022, arXiv:2112.10752), where both terms are
/// sums; its logarithm of the output's variance, perceptual loss and discriminator are left out.
class AutoencoderTraining {
 public:
  AutoencoderTraining(const model::AutoencoderKlConfig& config,
                      const OptimizerConfig& optimizer,
                      double kl_weight,
                      uint64_t seed,
                      torch::Device device);

  /// One step on uint8 images [B, 3, S, S] at these positions of the training sequence, which key
  /// the noise. Throws NotFinite, changing nothing.
  AutoencoderLoss step(const data::Batch& batch, double learning_rate);

  /// Losses without a step; the mean in place of a sample of z.
  AutoencoderLoss evaluate(const torch::Tensor& images);

  int64_t images_seen = 0;
  model::AutoencoderNet& net() { return net_; }

  /// State of the training: whole or not at all.
  void save(const std::filesystem::path& path, std::map<std::string, std::string> metadata) const;
  /// Returns the metadata. Throws std::runtime_error naming the file where it is no such state.
  std::map<std::string, std::string> load(const std::filesystem::path& path);

  /// Rounds the weights to float16, as a file of that dtype holds them.
  void round_to_half();

 private:
  struct Terms {
    torch::Tensor l1, kl;
  };
  Terms terms(const torch::Tensor& x, const torch::Tensor& noise);

  model::AutoencoderNet net_;
  int64_t latent_channels_, downsampling_;
  double kl_share_;  // kl_weight times numbers of a latent over those of an image
  uint64_t seed_;
  torch::Device device_;
  std::vector<std::string> names_;
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<Optimizer> optimizer_;
  int64_t steps_ = 0;
};

/// 1 / std of all numbers of the latents (sampled, with noise by position) of the first `count`
/// images: diffusion then sees a variance of 1, as Stable Diffusion's 0.18215 does.
double measured_scaling_factor(model::AutoencoderNet& net,
                               const data::Dataset& dataset,
                               int64_t count,
                               torch::Device device);

}  // namespace uvic::app
