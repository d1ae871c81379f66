#include "app/runs/latent_space.h"

#include <cmath>
#include <sstream>

#include "app/options/assets.h"
#include "app/runs/processes.h"
#include "base/check.h"
#include "data/formats/sha256.h"
#include "model/latent/autoencoder_file.h"
#include "model/latent/autoencoder_kl.h"

namespace uvic::app {
namespace {

/// The official MS-COCO models scale the latents of the same autoencoder by 0.2301.
bool is_scale_of(double scaling_factor, double latent_scale) {
  constexpr double kStableDiffusion = 0.18215, kMsCoco = 0.2301, kNear = 1e-4;
  return std::abs(scaling_factor - latent_scale) < kNear * latent_scale ||
         (std::abs(scaling_factor - kStableDiffusion) < kNear &&
          std::abs(latent_scale - kMsCoco) < kNear);
}

}  // namespace

std::filesystem::path autoencoder_path(const std::string& name) {
  return name == kEmbeddedAutoencoder ? asset("assets/embedded_autoencoder.safetensors")
                                      : std::filesystem::path(name);
}

LatentSpace::LatentSpace(const EncoderConfig& config,
                         torch::Device device,
                         torch::ScalarType compute)
    : config_(config), device_(device) {
  base::require(
      !config.autoencoder.empty(),
      "--autoencoder is missing; the network works on latents: give autoencoder_kl.pth, a "
      "Stable Diffusion checkpoint, diffusers' vae folder, or embedded");
  std::string notes;
  autoencoder_ = std::make_shared<model::AutoencoderKl>(
      model::AutoencoderKl::open(autoencoder_path(config.autoencoder), &notes));
  std::istringstream lines(notes);
  for (std::string note; std::getline(lines, note);) say_note(note);
  autoencoder_->to(device, compute);
}

int64_t LatentSpace::downsampling() const { return autoencoder_->downsampling(); }
const model::AutoencoderKlConfig& LatentSpace::shape() const { return autoencoder_->config(); }

torch::Tensor LatentSpace::moments(const torch::Tensor& images) const {
  return autoencoder_->encode(images.to(device_), config_.tile);
}

torch::Tensor LatentSpace::encode(const torch::Tensor& images) const {
  return (moments(images).chunk(2, 1)[0] - config_.latent_shift) * config_.latent_scale;
}

torch::Tensor LatentSpace::decode(const torch::Tensor& x) const {
  return autoencoder_->decode(x / config_.latent_scale + config_.latent_shift, config_.tile);
}

nlohmann::json LatentSpace::record() const {
  const bool embedded = config_.autoencoder == kEmbeddedAutoencoder;
  return {{"autoencoder", embedded ? config_.autoencoder : autoencoder_->path().string()},
          {"autoencoder_sha256", formats::sha256_file(autoencoder_->path())},
          {"latent_scale", config_.latent_scale},
          {"latent_shift", config_.latent_shift},
          {"tile", config_.tile}};
}

std::shared_ptr<const LatentSpace> open_latent_space(const EncoderConfig& config,
                                                     const model::NetworkInput& input,
                                                     torch::Device device,
                                                     torch::ScalarType compute) {
  if (!config.is_latent()) return nullptr;
  auto space = std::make_shared<LatentSpace>(config, device, compute);
  base::require(
      space->shape().latent_channels == input.channels,
      "--autoencoder {}: latents of {} channels, the network works on {} (model.in_chans); "
      "it was trained with another autoencoder",
      config.autoencoder,
      space->shape().latent_channels,
      input.channels);
  const auto factor = space->shape().scaling_factor;
  base::require(!factor || is_scale_of(*factor, config.latent_scale),
                "--autoencoder {}: its latents are scaled by {}, those of the network by {} "
                "(latent_scale); it was trained with another autoencoder",
                config.autoencoder,
                factor.value_or(0),
                config.latent_scale);
  const auto shift = space->shape().shift_factor;
  base::require(!factor || std::abs(shift - config.latent_shift) < 1e-4,
                "--autoencoder {}: its latents are shifted by {}, those of the network by {} "
                "(latent_shift); it was trained with another autoencoder",
                config.autoencoder,
                shift,
                config.latent_shift);
  return space;
}

int64_t image_size_of(const EncoderConfig& config, const model::NetworkInput& input) {
  constexpr int64_t kUsual = 8;
  if (!config.is_latent()) return input.size;
  return input.size * (config.autoencoder.empty()
                           ? kUsual
                           : model::open_autoencoder_file(autoencoder_path(config.autoencoder))
                                 .config.downsampling());
}

}  // namespace uvic::app
