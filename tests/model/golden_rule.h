// The weights and inputs of golden numbers: both sides compute them from a hash of their name and
// index (tests/golden/model/make_uvit.py).
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/torch.h"

namespace uvic::test {

/// The hash of make_uvit.py.
inline std::vector<uint32_t> golden_bits(const std::string& name, int64_t count) {
  uint32_t seed = 2166136261u;
  for (const unsigned char byte : name) seed = (seed ^ byte) * 16777619u;
  std::vector<uint32_t> result(count);
  for (int64_t i = 0; i < count; ++i) {
    uint32_t h = static_cast<uint32_t>(i) * 0x9E3779B9u + seed;
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    result[i] = h ^ (h >> 16);
  }
  return result;
}

inline int64_t product(const std::vector<int64_t>& shape, size_t from = 0) {
  int64_t n = 1;
  for (size_t i = from; i < shape.size(); ++i) n *= shape[i];
  return n;
}

/// Multiples of 2^-23 in [-1, 1), float64.
inline torch::Tensor golden_uniform(const std::string& name, const std::vector<int64_t>& shape) {
  const auto hashes = golden_bits(name, product(shape));
  auto u = torch::empty({static_cast<int64_t>(hashes.size())}, torch::kFloat64);
  for (size_t i = 0; i < hashes.size(); ++i)
    u.data_ptr<double>()[i] = (hashes[i] >> 8) / 8388608.0 - 1;
  return u.view(shape);
}

inline torch::Tensor golden_weight(const std::string& name, const std::vector<int64_t>& shape) {
  const auto u = golden_uniform(name, shape);
  const bool norm =
      name.find("norm") != std::string::npos && name.find("weight") != std::string::npos;
  if (norm) return (1 + 0.2 * u).to(torch::kFloat32);
  if (name == "pos_embed" || shape.size() == 1) return (0.3 * u).to(torch::kFloat32);
  return (std::sqrt(3.0 / product(shape, 1)) * u).to(torch::kFloat32);
}

}  // namespace uvic::test
