#include "diffusion/noise.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "diffusion/combine.h"

namespace uvic::diffusion {
namespace {

// Runs on one thread: the bits of a sum over several threads depend on their number.
double angle_between(const torch::Tensor& a, const torch::Tensor& b) {
  const auto x = a.to(torch::kCPU, torch::kFloat64).contiguous(),
             y = b.to(torch::kCPU, torch::kFloat64).contiguous();
  const auto* p = x.data_ptr<double>();
  const auto* q = y.data_ptr<double>();
  double pq = 0, pp = 0, qq = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    pq += p[i] * q[i];
    pp += p[i] * p[i];
    qq += q[i] * q[i];
  }
  return std::acos(std::clamp(pq / std::sqrt(pp * qq), -1.0, 1.0));
}

torch::Tensor interpolate_one(const torch::Tensor& a, const torch::Tensor& b, double u) {
  const double angle = angle_between(a, b);
  const bool parallel = std::sin(angle) < 1e-6;
  const double of_a = parallel ? 1 - u : std::sin((1 - u) * angle) / std::sin(angle);
  const double of_b = parallel ? u : std::sin(u * angle) / std::sin(angle);
  return combine({{of_a, a}, {of_b, b}});
}

}  // namespace

NoiseSource::NoiseSource(const std::vector<uint64_t>& seeds, torch::Device device)
    : device_(device) {
  for (const auto seed : seeds)
    generators_.push_back(at::make_generator<at::CPUGeneratorImpl>(seed));
}

NoiseSource::NoiseSource(const std::vector<uint64_t>& from,
                         const std::vector<uint64_t>& to,
                         std::vector<double> fractions,
                         torch::Device device)
    : NoiseSource(from, device) {
  if (to.size() != from.size() || fractions.size() != from.size())
    throw std::invalid_argument("NoiseSource: from, to and fractions must have the same length");
  for (const auto seed : to) others_.push_back(at::make_generator<at::CPUGeneratorImpl>(seed));
  fractions_ = std::move(fractions);
}

torch::Tensor NoiseSource::next(int64_t channels, int64_t height, int64_t width) {
  torch::NoGradGuard no_grad;
  auto noise = torch::empty({size(), channels, height, width}, torch::kFloat32);
  // For fewer numbers than this, starting threads costs more than generating the numbers.
  const int64_t grain =
      std::max<int64_t>(1, 32768 / std::max<int64_t>(1, channels * height * width));
  at::parallel_for(0, size(), grain, [&](int64_t begin, int64_t end) {
    torch::NoGradGuard no_grad_here;  // guards are per thread
    const c10::InferenceMode as_the_caller(noise.is_inference());
    for (int64_t i = begin; i < end; ++i) {
      auto of_image = noise[i];
      of_image.normal_(0, 1, generators_[i]);
      if (others_.empty()) continue;
      const auto other = torch::empty_like(of_image).normal_(0, 1, others_[i]);
      of_image.copy_(interpolate_one(of_image, other, fractions_[i]));
    }
  });
  return noise.to(device_);
}

NoiseSource NoiseSource::only(int64_t i) const {
  NoiseSource one({}, device_);
  one.generators_.push_back(generators_.at(i));
  if (!others_.empty()) {
    one.others_.push_back(others_.at(i));
    one.fractions_.push_back(fractions_.at(i));
  }
  return one;
}

torch::Tensor interpolate_noise(const torch::Tensor& a, const torch::Tensor& b, double u) {
  if (a.sizes() != b.sizes() || a.dim() < 2)
    throw std::invalid_argument("interpolate_noise: a and b must be batches of the same shape");
  std::vector<torch::Tensor> images;
  for (int64_t i = 0; i < a.size(0); ++i) images.push_back(interpolate_one(a[i], b[i], u));
  return torch::stack(images);
}

}  // namespace uvic::diffusion
