#include "metrics/inception_resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>

#include "base/torch.h"
#include "data/formats/npy.h"
#include "metrics/embedded_features.h"
#include "tests/metrics/inception_rule.h"
#include "tests/support/catch.h"

using namespace uvic::metrics;
using uvic::test::rule_images;

namespace {

constexpr int64_t kSizes[][2] = {{1, 1},
                                 {1, 7},
                                 {5, 3},
                                 {33, 70},
                                 {299, 17},
                                 {361, 640},
                                 {298, 300},
                                 {3, 4096},
                                 {4096, 2}};  // height, width

/// What PyTorch, Pillow and TensorFlow's definition gave: tests/golden/metrics/make_resize.py.
const std::map<std::string, torch::Tensor>& golden_resizes() {
  static const auto read = uvic::formats::read_npz(UVIC_GOLDEN_DIR "/metrics/resize.npz");
  return read;
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace

TEST_CASE("resize: each protocol squeezes odd, thin, tiny and large images as its tool does",
          "[inception]") {
  for (const auto* protocol : {"pytorch-fid", "tf1", "clean"}) {
    const std::string key = std::string(protocol) == "pytorch-fid" ? "pytorch_fid" : protocol;
    for (const auto& [height, width] : kSizes) {
      INFO(protocol << " " << height << " x " << width);
      const auto input = inception_protocols().at(protocol).input(rule_images(1, height, width))[0];
      const auto& expected = golden_resizes().at(fmt::format("{}_{}x{}", key, height, width));
      // A place is rounded to float32 (the tools may fuse its multiplication and subtraction): half
      // a unit in the last place of the side, times at most 2 from a pixel to the next. A crop
      // instead of the whole image moves values by 0.1 and more.
      const double tolerance =
          std::max(1e-4, 2 * static_cast<double>(std::max(height, width)) * 0x1p-24);
      CHECK(largest_difference(input.slice(1, 0, 299, 13).slice(2, 0, 299, 13), expected) <
            tolerance);
    }
  }
}

TEST_CASE("resize: the embedded network's input is PyTorch's antialiased bilinear resize",
          "[embedded]") {
  for (const auto& [height, width] : kSizes) {
    INFO(height << " x " << width);
    const auto input = embedded_input(rule_images(1, height, width))[0];
    CHECK(largest_difference(
              input, golden_resizes().at(fmt::format("embedded_{}x{}", height, width))) < 1e-5);
  }
}
