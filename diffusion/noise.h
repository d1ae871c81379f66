// One random generator per image, so that an image depends on its own seed only.
#pragma once

#include <cstdint>
#include <vector>

#include "base/torch.h"

namespace uvic::diffusion {

/// Gaussian noise for a batch. The noise of image i comes from the generator of seeds[i] only. It
/// is generated on the CPU for every device, so neither the other images nor the device changes its
/// bits.
class NoiseSource {
 public:
  explicit NoiseSource(const std::vector<uint64_t>& seeds, torch::Device device = torch::kCPU);

  /// Interpolation between two seeds: the noise of image i is interpolate_noise() of the noise of
  /// from[i] and of to[i] at fractions[i]. At 0 and 1 it has the bits of one of them. Throws
  /// std::invalid_argument if the three vectors differ in length.
  NoiseSource(const std::vector<uint64_t>& from,
              const std::vector<uint64_t>& to,
              std::vector<double> fractions,
              torch::Device device = torch::kCPU);

  /// The next noise: float32 [seeds, channels, height, width], N(0, 1), on the device.
  torch::Tensor next(int64_t channels, int64_t height, int64_t width);

  int64_t size() const { return static_cast<int64_t>(generators_.size()); }
  torch::Device device() const { return device_; }

  /// The source of image i alone. It shares the generator of that image.
  NoiseSource only(int64_t i) const;

 private:
  std::vector<at::Generator> generators_;
  std::vector<at::Generator> others_;  // interpolation: the other ends; otherwise empty
  std::vector<double> fractions_;
  torch::Device device_;
};

/// Spherical interpolation of each image, from a at u = 0 to b at u = 1:
///
///   sin((1 - u) w) / sin(w) a + sin(u w) / sin(w) b,  w the angle between a and b
///
/// The result keeps the norm of noise. Throws std::invalid_argument if a and b are not batches of
/// the same shape. Source: Shoemake 1985. For x_T: arXiv:2010.02502, section 5.3.
torch::Tensor interpolate_noise(const torch::Tensor& a, const torch::Tensor& b, double u);

}  // namespace uvic::diffusion
