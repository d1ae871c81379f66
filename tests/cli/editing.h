// What the tests of uvic sample from given images share.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/support/catch.h"

namespace uvic::test {

namespace formats = uvic::formats;
namespace fs = std::filesystem;
using Catch::Matchers::Contains;

using Words = std::vector<std::string>;

inline std::string early_weights() { return trained_run() / "weights" / "000000160.safetensors"; }

inline Words sampling(const fs::path& out, const Words& more) {
  return Words{"sample",
               "--run",
               trained_run().string(),
               "--out",
               out.string(),
               "--sample.steps",
               "5"} +
         more;
}

inline std::string bytes(const fs::path& path) { return formats::read_file(path); }

// An image of 8 x 8 px whose every pixel differs from its neighbours.
inline formats::Image some_picture(int size = 8) {
  formats::Image image{size, size, {}};
  for (int i = 0; i < size * size * 3; ++i) image.rgb.push_back(static_cast<uint8_t>(i * 37 % 251));
  return image;
}

// White in the left half, black in the right.
inline formats::Image left_half(int size = 8) {
  formats::Image image{size, size, {}};
  for (int i = 0; i < size * size; ++i)
    for (int c = 0; c < 3; ++c) image.rgb.push_back(i % size < size / 2 ? 255 : 0);
  return image;
}

inline formats::Image plain(uint8_t grey, int size = 8) {
  return {size, size, std::vector<uint8_t>(static_cast<size_t>(size) * size * 3, grey)};
}

inline double rmse(const formats::Image& a, const formats::Image& b) {
  REQUIRE(a.rgb.size() == b.rgb.size());
  double sum = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i)
    sum += (double(a.rgb[i]) - b.rgb[i]) * (double(a.rgb[i]) - b.rgb[i]);
  return std::sqrt(sum / static_cast<double>(a.rgb.size()));
}

}  // namespace uvic::test
