#include "diffusion/noise.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

namespace uvic::diffusion {

NoiseSource::NoiseSource(const std::vector<uint64_t>& seeds, torch::Device device)
    : device_(device) {
  for (const auto seed : seeds)
    generators_.push_back(at::make_generator<at::CPUGeneratorImpl>(seed));
}

torch::Tensor NoiseSource::draw(int64_t channels, int64_t height, int64_t width) {
  torch::NoGradGuard no_grad;
  auto noise = torch::empty({size(), channels, height, width}, torch::kFloat32);
  at::parallel_for(0, size(), 1, [&](int64_t begin, int64_t end) {
    torch::NoGradGuard no_grad_here;  // the guard is per thread
    for (int64_t i = begin; i < end; ++i) noise[i].normal_(0, 1, generators_[i]);
  });
  return noise.to(device_);
}

NoiseSource NoiseSource::only(int64_t i) const {
  NoiseSource one({}, device_);
  one.generators_.push_back(generators_.at(i));
  return one;
}

}  // namespace uvic::diffusion
