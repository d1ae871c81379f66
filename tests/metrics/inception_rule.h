// Inception weights and pictures by a rule that tests/golden/metrics/make_inception.py follows too.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/torch.h"

namespace uvic::test {

/// 32-bit integers to 32-bit integers, scattered (lowbias32 of Chris Wellons).
inline uint32_t mix(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

/// FNV-1a.
inline uint32_t name_hash(const std::string& name) {
  uint32_t hash = 0x811C9DC5u;
  for (const unsigned char byte : name) hash = (hash ^ byte) * 0x01000193u;
  return hash;
}

inline bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

inline torch::Tensor rule_weights(const std::string& name, const std::vector<int64_t>& shape) {
  auto weights = torch::empty(shape);
  const auto fan_in = shape.size() > 1 ? weights.numel() / shape[0] : 6;
  double scale = 2 * std::sqrt(6.0 / static_cast<double>(fan_in)), shift = -scale / 2;
  if (ends_with(name, "bn.weight") || ends_with(name, "running_var")) scale = 1, shift = 0.5;
  if (ends_with(name, "bn.bias") || ends_with(name, "running_mean")) scale = 1, shift = -0.5;
  const auto seed = name_hash(name);
  auto* values = weights.data_ptr<float>();
  for (int64_t i = 0; i < weights.numel(); ++i)
    values[i] =
        static_cast<float>((mix(seed + static_cast<uint32_t>(i)) >> 8) * 0x1p-24 * scale + shift);
  return weights;
}

/// uint8 [n, 3, height, width]: blocks of 4 x 4 px with grain.
inline torch::Tensor rule_images(int64_t n, int64_t height, int64_t width) {
  auto pictures = torch::empty({n, 3, height, width}, torch::kUInt8);
  auto* out = pictures.data_ptr<uint8_t>();
  for (int64_t plane = 0; plane < n * 3; ++plane)
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        const auto base = static_cast<uint32_t>(plane * 1000000);
        const auto block = mix(base + static_cast<uint32_t>(y / 4 * 1000 + x / 4)) % 192;
        const auto grain = mix(base + 500000000u + static_cast<uint32_t>(y * 1000 + x)) % 64;
        *out++ = static_cast<uint8_t>(block + grain);
      }
  return pictures;
}

/// The layers of the network, which fill a map of weights.
struct RuleInception {
  std::map<std::string, torch::Tensor> weights;

  void conv(const std::string& name, int64_t in, int64_t out, int64_t height, int64_t width) {
    weights[name + ".conv.weight"] = rule_weights(name + ".conv.weight", {out, in, height, width});
    for (const char* part : {".bn.weight", ".bn.bias", ".bn.running_mean", ".bn.running_var"})
      weights[name + part] = rule_weights(name + part, {out});
  }
  void mixed_a(const std::string& name, int64_t in, int64_t pool) {
    conv(name + ".branch1x1", in, 64, 1, 1);
    conv(name + ".branch5x5_1", in, 48, 1, 1);
    conv(name + ".branch5x5_2", 48, 64, 5, 5);
    conv(name + ".branch3x3dbl_1", in, 64, 1, 1);
    conv(name + ".branch3x3dbl_2", 64, 96, 3, 3);
    conv(name + ".branch3x3dbl_3", 96, 96, 3, 3);
    conv(name + ".branch_pool", in, pool, 1, 1);
  }
  void mixed_c(const std::string& name, int64_t width) {
    conv(name + ".branch1x1", 768, 192, 1, 1);
    conv(name + ".branch7x7_1", 768, width, 1, 1);
    conv(name + ".branch7x7_2", width, width, 1, 7);
    conv(name + ".branch7x7_3", width, 192, 7, 1);
    conv(name + ".branch7x7dbl_1", 768, width, 1, 1);
    conv(name + ".branch7x7dbl_2", width, width, 7, 1);
    conv(name + ".branch7x7dbl_3", width, width, 1, 7);
    conv(name + ".branch7x7dbl_4", width, width, 7, 1);
    conv(name + ".branch7x7dbl_5", width, 192, 1, 7);
    conv(name + ".branch_pool", 768, 192, 1, 1);
  }
  void mixed_e(const std::string& name, int64_t in) {
    conv(name + ".branch1x1", in, 320, 1, 1);
    conv(name + ".branch3x3_1", in, 384, 1, 1);
    conv(name + ".branch3x3_2a", 384, 384, 1, 3);
    conv(name + ".branch3x3_2b", 384, 384, 3, 1);
    conv(name + ".branch3x3dbl_1", in, 448, 1, 1);
    conv(name + ".branch3x3dbl_2", 448, 384, 3, 3);
    conv(name + ".branch3x3dbl_3a", 384, 384, 1, 3);
    conv(name + ".branch3x3dbl_3b", 384, 384, 3, 1);
    conv(name + ".branch_pool", in, 192, 1, 1);
  }
};

/// Every tensor of pt_inception-2015-12-05-6726825d.pth that the network reads, by name.
inline std::map<std::string, torch::Tensor> rule_inception() {
  RuleInception net;
  net.conv("Conv2d_1a_3x3", 3, 32, 3, 3);
  net.conv("Conv2d_2a_3x3", 32, 32, 3, 3);
  net.conv("Conv2d_2b_3x3", 32, 64, 3, 3);
  net.conv("Conv2d_3b_1x1", 64, 80, 1, 1);
  net.conv("Conv2d_4a_3x3", 80, 192, 3, 3);
  net.mixed_a("Mixed_5b", 192, 32);
  net.mixed_a("Mixed_5c", 256, 64);
  net.mixed_a("Mixed_5d", 288, 64);
  net.conv("Mixed_6a.branch3x3", 288, 384, 3, 3);
  net.conv("Mixed_6a.branch3x3dbl_1", 288, 64, 1, 1);
  net.conv("Mixed_6a.branch3x3dbl_2", 64, 96, 3, 3);
  net.conv("Mixed_6a.branch3x3dbl_3", 96, 96, 3, 3);
  net.mixed_c("Mixed_6b", 128);
  net.mixed_c("Mixed_6c", 160);
  net.mixed_c("Mixed_6d", 160);
  net.mixed_c("Mixed_6e", 192);
  net.conv("Mixed_7a.branch3x3_1", 768, 192, 1, 1);
  net.conv("Mixed_7a.branch3x3_2", 192, 320, 3, 3);
  net.conv("Mixed_7a.branch7x7x3_1", 768, 192, 1, 1);
  net.conv("Mixed_7a.branch7x7x3_2", 192, 192, 1, 7);
  net.conv("Mixed_7a.branch7x7x3_3", 192, 192, 7, 1);
  net.conv("Mixed_7a.branch7x7x3_4", 192, 192, 3, 3);
  net.mixed_e("Mixed_7b", 1280);
  net.mixed_e("Mixed_7c", 2048);
  net.weights["fc.weight"] = rule_weights("fc.weight", {1008, 2048});
  return net.weights;
}

}  // namespace uvic::test
