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

  /// The next [seeds, channels, height, width] float32 draw, on the device.
  torch::Tensor draw(int64_t channels, int64_t height, int64_t width);

  int64_t size() const { return static_cast<int64_t>(generators_.size()); }
  torch::Device device() const { return device_; }

  /// The source of picture i alone; it shares that picture's generator.
  NoiseSource only(int64_t i) const;

 private:
  std::vector<at::Generator> generators_;
  torch::Device device_;
};

}  // namespace uvic::diffusion
