// Folders of runs and samples with known numbers and drawn images, for tests of what reads them.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"

namespace uvic::test {

struct MadeUpRun {
  std::string attention = "softmax";
  uint64_t seed = 0;
  double final_loss = 0.05;
  double images_per_sec = 400;
  int64_t total_images = 256000;
  int64_t parameters = 2'500'000;
  bool images = true;  ///< false: records alone, which is quicker
  std::vector<std::string> class_names = {"disc", "ring", "square", "cross", "stripes"};
};

/// A 32 x 32 picture: the shape of its class in a colour of its seed, drowned in noise by (1 -
/// quality).
inline formats::Image made_up_image(int64_t label, uint64_t seed, double quality) {
  std::mt19937_64 random(seed * 7919 + static_cast<uint64_t>(label));
  std::uniform_real_distribution<double> uniform(0, 1);
  double ink[3], ground[3];
  for (int c = 0; c < 3; ++c) ink[c] = uniform(random), ground[c] = uniform(random);
  const double centre_x = 12 + 8 * uniform(random), centre_y = 12 + 8 * uniform(random),
               size = 6 + 4 * uniform(random);
  formats::Image picture{32, 32, std::vector<uint8_t>(32 * 32 * 3)};
  for (int y = 0; y < 32; ++y)
    for (int x = 0; x < 32; ++x) {
      const double dx = x - centre_x, dy = y - centre_y, radius = std::hypot(dx, dy),
                   square = std::max(std::abs(dx), std::abs(dy));
      const bool inside = label == 0   ? radius < size
                          : label == 1 ? std::abs(radius - size) < 2.5
                          : label == 2 ? square < size * 0.8
                          : label == 3 ? std::min(std::abs(dx), std::abs(dy)) < 2.5 && square < size
                                       : static_cast<int>(dx + dy + 64) / 4 % 2 == 0;
      const auto at = 3 * (static_cast<size_t>(y) * 32 + static_cast<size_t>(x));
      for (int c = 0; c < 3; ++c) {
        const double value =
            quality * (inside ? ink[c] : ground[c]) + (1 - quality) * uniform(random);
        picture.rgb[at + static_cast<size_t>(c)] = static_cast<uint8_t>(255 * value);
      }
    }
  return picture;
}

/// A run folder as `uvic train` leaves it, less its weights.
void write_made_up_run(const std::filesystem::path& folder, const MadeUpRun& run);

/// A samples folder as `uvic sample` leaves it: seeds 0 ... count - 1, classes in turn.
void write_made_up_samples(const std::filesystem::path& folder,
                           const MadeUpRun& run,
                           uint64_t count,
                           double quality);

/// A score as `uvic fid` returns it.
nlohmann::json made_up_score(double distance, double std = 0);

}  // namespace uvic::test
