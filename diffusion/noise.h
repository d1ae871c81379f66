// One generator per picture, so that a picture depends on its own seed alone.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

namespace uvic::diffusion {

/// Gaussian noise for a batch: picture i is drawn from the generator of seeds[i] only, on the CPU
/// whatever the device, so that neither the batch around it nor the device changes its bits.
class NoiseSource {
 public:
  explicit NoiseSource(const std::vector<uint64_t>& seeds, torch::Device device = torch::kCPU);

  /// Noise on the way from one seed to another: every draw of picture i is interpolate_noise of the
  /// draws of from[i] and to[i] at way[i]; at 0 and 1 it is theirs, bit for bit. Throws
  /// std::invalid_argument where the three differ in length.
  NoiseSource(const std::vector<uint64_t>& from,
              const std::vector<uint64_t>& to,
              std::vector<double> way,
              torch::Device device = torch::kCPU);

  /// The next [seeds, channels, height, width] float32 draw, on the device.
  torch::Tensor draw(int64_t channels, int64_t height, int64_t width);

  int64_t size() const { return static_cast<int64_t>(generators_.size()); }
  torch::Device device() const { return device_; }

  /// The source of picture i alone; it shares that picture's generator.
  NoiseSource only(int64_t i) const;

 private:
  std::vector<at::Generator> generators_;
  std::vector<at::Generator> others_;  // where interpolating, as many as generators_; else empty
  std::vector<double> way_;
  torch::Device device_;
};

/// Interpolates along the sphere, picture by picture: u = 0 is a, u = 1 is b, and in between the
/// norm stays that of noise.
///   sin((1 - u) w) / sin(w) a + sin(u w) / sin(w) b,  w the angle between a and b
/// Throws std::invalid_argument where a and b are not batches of one shape. Source: Shoemake 1985;
/// for x_T: arXiv:2010.02502, section 5.3.
torch::Tensor interpolate_noise(const torch::Tensor& a, const torch::Tensor& b, double u);

}  // namespace uvic::diffusion
