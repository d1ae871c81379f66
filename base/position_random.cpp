#include "base/position_random.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/philox.h"

namespace uvic::base {
namespace {

constexpr double kTwoToMinus53 = 0x1p-53;

/// The four words of block `block` of every position, on any device: int64 tensors that hold 32
/// bits. `positions` int64 [B, 1], `block` int64 [1, n]; each result is [B, n].
std::array<torch::Tensor, 4> philox_words(uint64_t key,
                                          uint32_t use,
                                          const torch::Tensor& positions,
                                          const torch::Tensor& block) {
  constexpr int64_t kMask = 0xffffffff, kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  auto w2 = positions.bitwise_and(kMask), w3 = positions.bitwise_right_shift(32);
  auto w0 = block + torch::zeros_like(w2);
  w2 = w2 + torch::zeros_like(block), w3 = w3 + torch::zeros_like(block);
  auto w1 = torch::full_like(w0, static_cast<int64_t>(use));
  auto key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round, key0 += 0x9E3779B9, key1 += 0xBB67AE85) {
    // The products use all 64 bits: the shift copies the sign bit, and the mask removes it.
    const auto p0 = w0 * kMultiplier0, p1 = w2 * kMultiplier1;
    const auto high0 = p0.bitwise_right_shift(32).bitwise_and(kMask),
               high1 = p1.bitwise_right_shift(32).bitwise_and(kMask);
    w0 = high1.bitwise_xor(w1).bitwise_xor(static_cast<int64_t>(key0));
    w2 = high0.bitwise_xor(w3).bitwise_xor(static_cast<int64_t>(key1));
    w1 = p1.bitwise_and(kMask);
    w3 = p0.bitwise_and(kMask);
  }
  return {w0, w1, w2, w3};
}

/// Two normals from two words, float32, as in philox.cpp.
std::pair<torch::Tensor, torch::Tensor> box_muller(const torch::Tensor& first,
                                                   const torch::Tensor& second) {
  const auto u = (first.bitwise_right_shift(1).to(torch::kFloat32) + 0.5) * 0x1p-31;
  const auto radius = (u.log() * -2).sqrt();
  // In [-1/2, 1/2) turns. float32 is exact only after the range reduction, so use float64.
  const auto turns = second.to(torch::kFloat64) * 0x1p-32;
  const auto angle = turns * (2 * M_PI);
  return {radius * angle.cos().to(torch::kFloat32), radius * angle.sin().to(torch::kFloat32)};
}

torch::Tensor uniform53(const torch::Tensor& high, const torch::Tensor& low) {
  return (high.bitwise_right_shift(5).to(torch::kFloat64) * 67108864.0 +
          low.bitwise_right_shift(6).to(torch::kFloat64)) *
         kTwoToMinus53;
}

double uniform53(uint32_t high, uint32_t low) {
  return (static_cast<double>(high >> 5) * 67108864.0 + static_cast<double>(low >> 6)) *
         kTwoToMinus53;
}

double normal_of(const PhiloxBlock& block) {
  const double u = uniform53(block.word[0], block.word[1]),
               v = uniform53(block.word[2], block.word[3]);
  return std::sqrt(-2 * std::log1p(-u)) * std::cos(2 * M_PI * v);
}

/// float64 [B] of the first block of each position on the CPU.
template <class Number>
torch::Tensor of_first_block(uint64_t seed,
                             RandomUse use,
                             const torch::Tensor& positions,
                             Number&& number) {
  auto out = torch::empty(positions.sizes(), torch::kFloat64);
  const auto* position = positions.data_ptr<int64_t>();
  auto* to = out.data_ptr<double>();
  for (int64_t i = 0; i < positions.numel(); ++i) {
    const auto p = static_cast<uint64_t>(position[i]);
    to[i] = number(philox4x32(
        {{0, static_cast<uint32_t>(use), static_cast<uint32_t>(p), static_cast<uint32_t>(p >> 32)}},
        seed));
  }
  return out;
}

}  // namespace

PositionRandom::PositionRandom(uint64_t seed, torch::Tensor positions)
    : seed_(seed), positions_(positions.contiguous()) {
  if (positions_.dim() != 1 || positions_.scalar_type() != torch::kInt64)
    throw std::invalid_argument(
        fmt::format("PositionRandom: positions are {} of {} dimensions, expected int64 [B]",
                    toString(positions_.scalar_type()),
                    positions_.dim()));
}

torch::Tensor PositionRandom::uniform(RandomUse use) const {
  const torch::NoGradGuard no_grad;
  if (positions_.is_cpu())
    return of_first_block(seed_, use, positions_, [](const PhiloxBlock& block) {
      return uniform53(block.word[0], block.word[1]);
    });
  const auto w = philox_words(seed_,
                              static_cast<uint32_t>(use),
                              positions_.unsqueeze(1),
                              torch::zeros({1, 1}, positions_.options()));
  return uniform53(w[0], w[1]).squeeze(1);
}

torch::Tensor PositionRandom::normal(RandomUse use) const {
  const torch::NoGradGuard no_grad;
  if (positions_.is_cpu()) return of_first_block(seed_, use, positions_, normal_of);
  const auto w = philox_words(seed_,
                              static_cast<uint32_t>(use),
                              positions_.unsqueeze(1),
                              torch::zeros({1, 1}, positions_.options()));
  const auto u = uniform53(w[0], w[1]), v = uniform53(w[2], w[3]);
  return ((-u).log1p().mul(-2).sqrt() * (v * (2 * M_PI)).cos()).squeeze(1);
}

torch::Tensor PositionRandom::normals(RandomUse use, torch::IntArrayRef shape) const {
  const torch::NoGradGuard no_grad;
  std::vector<int64_t> sizes = {positions_.size(0)};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  const int64_t count = c10::multiply_integers(shape), rows = positions_.size(0);
  if (positions_.is_cpu()) {
    auto out = torch::empty(sizes, torch::kFloat32);
    const auto* position = positions_.data_ptr<int64_t>();
    auto* to = out.data_ptr<float>();
    // The smallest amount of numbers for which another thread is used.
    const int64_t grain = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, count));
    at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        philox_normals(seed_,
                       static_cast<uint32_t>(use),
                       static_cast<uint64_t>(position[i]),
                       count,
                       to + i * count);
    });
    return out;
  }
  return reference_normals(seed_, use, positions_, shape);
}

torch::Tensor reference_normals(uint64_t seed,
                                RandomUse use,
                                const torch::Tensor& positions,
                                torch::IntArrayRef shape) {
  const torch::NoGradGuard no_grad;
  std::vector<int64_t> sizes = {positions.size(0)};
  sizes.insert(sizes.end(), shape.begin(), shape.end());
  const int64_t count = c10::multiply_integers(shape);
  const auto blocks = torch::arange((count + 3) / 4, positions.options()).unsqueeze(0);
  const auto w = philox_words(seed, static_cast<uint32_t>(use), positions.unsqueeze(1), blocks);
  const auto [a, b] = box_muller(w[0], w[1]);
  const auto [c, d] = box_muller(w[2], w[3]);
  return torch::cat({a, b, c, d}, 1).slice(1, 0, count).reshape(sizes);  // [B, shape...]
}

}  // namespace uvic::base
