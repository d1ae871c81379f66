// Stable Diffusion's KL autoencoder: images to latents and back, from any of its published files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/torch.h"
#include "model/latent/autoencoder_config.h"
#include "model/latent/autoencoder_layers.h"

namespace uvic::model {

/// An autoencoder that was opened from a file, for inference.
///
/// What encode() and decode() return for an image has the same bits in a batch as alone: images go
/// through the network one by one. Whether an image takes one thread or all of them depends on its
/// size alone. Neither records a graph.
class AutoencoderKl {
 public:
  /// Opens the official autoencoder_kl.pth, a whole Stable Diffusion checkpoint, diffusers'
  /// `vae/diffusion_pytorch_model.safetensors`, shards by their index, or a folder that holds one
  /// of these (also one folder down, in vae/). A config.json of diffusers next to the file is read.
  /// A file may lack one half; the other then works. `notes`: lines about what was passed over.
  /// Throws std::runtime_error that names the file and the fault.
  static AutoencoderKl open(const std::filesystem::path& path, std::string* notes = nullptr);

  /// One with new weights from torch's global generator, for measurements.
  static AutoencoderKl random(const AutoencoderKlConfig& config);

  const AutoencoderKlConfig& config() const { return config_; }
  const std::filesystem::path& path() const { return path_; }  ///< of the file
  int64_t downsampling() const { return config_.downsampling(); }
  int64_t latent_channels() const { return config_.latent_channels; }
  bool has_encoder() const { return static_cast<bool>(net_->encoder); }
  bool has_decoder() const { return static_cast<bool>(net_->decoder); }
  int64_t parameters() const;

  /// Device, and dtype of convolutions and attention: float64, float32 or bfloat16. Sums of norms
  /// stay in float32 or wider.
  void to(torch::Device device, torch::ScalarType compute);

  /// Moments of images: [B, 3, H, W] in [-1, 1] -> [B, 2 z, H / f, W / f] in float32 (float64 for
  /// float64), means first, then log variances clamped to [-30, 20]. On the device of to().
  ///
  /// `tile`: latent side of overlapping, blended tiles for all but the lowest resolution; 0: whole.
  /// Throws std::invalid_argument for other shapes, std::runtime_error without an encoder.
  torch::Tensor encode(const torch::Tensor& images, int64_t tile = 0);

  /// Images of latents: unscaled z [B, z, h, w] -> [B, 3, f h, f w] in float32 (float64 for
  /// float64), not clamped. `tile` and errors as for encode().
  torch::Tensor decode(const torch::Tensor& z, int64_t tile = 0);

 private:
  AutoencoderKl() = default;
  void freeze();  ///< takes net_'s weights as masters, on the CPU in float32
  torch::Tensor encode_one(const torch::Tensor& image, int64_t tile);
  torch::Tensor decode_one(const torch::Tensor& z, int64_t tile);

  AutoencoderKlConfig config_;
  AutoencoderNet net_{nullptr};
  NamedTensors masters_;  // float32 on the CPU: to() may be called again
  std::filesystem::path path_;
  torch::Device device_ = torch::kCPU;
  torch::ScalarType compute_ = torch::kFloat32;
};

/// scale * (mean + exp(logvar / 2) * noise): a latent of the distribution that `moments` describe.
/// moments [B, 2 z, h, w], noise [B, z, h, w]; undefined noise gives the mean.
torch::Tensor sample_moments(const torch::Tensor& moments,
                             const torch::Tensor& noise,
                             double scale);

}  // namespace uvic::model
