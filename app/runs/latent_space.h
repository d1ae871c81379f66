// Between images and the latents that a network works on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/runs/encoder_config.h"
#include "base/torch.h"
#include "model/network_config.h"

namespace uvic::model {
class AutoencoderKl;
struct AutoencoderKlConfig;
}  // namespace uvic::model

namespace uvic::app {

/// The word that names the autoencoder that comes with the program: trained on procedural images of
/// 64 px, latents of 4 channels and 1/4 of the side (docs/autoencoders.md).
inline constexpr const char* kEmbeddedAutoencoder = "embedded";

/// What an option that takes an autoencoder names: the embedded one's file for that word, else the
/// path as it is. Throws std::runtime_error where the program's own files are not found.
std::filesystem::path autoencoder_path(const std::string& name);

/// An autoencoder and the scale of the network's latents: x = (z - shift) * scale.
class LatentSpace {
 public:
  /// Opens config.autoencoder. Throws std::invalid_argument where it is not given,
  /// std::runtime_error that names a file that can't be read.
  LatentSpace(const EncoderConfig& config, torch::Device device, torch::ScalarType compute);

  int64_t downsampling() const;
  const model::AutoencoderKlConfig& shape() const;

  /// images [B, 3, H, W] in [-1, 1] -> moments [B, 2 z, H / f, W / f], float32.
  torch::Tensor moments(const torch::Tensor& images) const;
  /// The scaled mean of the moments: what image to image, inpainting and inversion begin with.
  torch::Tensor encode(const torch::Tensor& images) const;
  /// Scaled latents [B, z, h, w] -> images [B, 3, f h, f w] in about [-1, 1], float32.
  torch::Tensor decode(const torch::Tensor& x) const;

  /// File (or "embedded") and hash, scale and shift.
  nlohmann::json record() const;

 private:
  EncoderConfig config_;
  torch::Device device_;
  std::shared_ptr<model::AutoencoderKl> autoencoder_;
};

/// For a network on latents; null for one on pixels. Throws also std::invalid_argument where the
/// autoencoder has other channels than the network, no decoder, or belongs to another scale.
std::shared_ptr<const LatentSpace> open_latent_space(const EncoderConfig& config,
                                                     const model::NetworkInput& input,
                                                     torch::Device device,
                                                     torch::ScalarType compute);

/// Side of the images of a network, px: its own, or, on latents, times the downsampling of the
/// autoencoder (8 where none is given, as all published ones have). Reads the autoencoder's shape
/// alone. Throws std::runtime_error that names a file that can't be read.
int64_t image_size_of(const EncoderConfig& config, const model::NetworkInput& input);

}  // namespace uvic::app
