#include "diffusion/noise.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <algorithm>

namespace uvic::diffusion {

NoiseSource::NoiseSource(const std::vector<uint64_t>& seeds, torch::Device device)
    : device_(device) {
  for (const auto seed : seeds)
    generators_.push_back(at::make_generator<at::CPUGeneratorImpl>(seed));
}

torch::Tensor NoiseSource::draw(int64_t channels, int64_t height, int64_t width) {
  torch::NoGradGuard no_grad;
  auto noise = torch::empty({size(), channels, height, width}, torch::kFloat32);
  // Waking threads for less than this many numbers costs more than drawing them.
  const int64_t grain =
      std::max<int64_t>(1, 32768 / std::max<int64_t>(1, channels * height * width));
  at::parallel_for(0, size(), grain, [&](int64_t begin, int64_t end) {
    torch::NoGradGuard no_grad_here;  // guards are per thread
    const c10::InferenceMode as_the_caller(noise.is_inference());
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
