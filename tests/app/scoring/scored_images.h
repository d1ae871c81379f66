// Sets of images and options for the tests of scores.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "app/scoring/score_images.h"
#include "base/torch.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"

namespace uvic::test {

/// A folder of images as `uvic sample` leaves it.
inline void write_samples(const std::filesystem::path& folder, int count, int size) {
  torch::manual_seed(1);
  for (int i = 0; i < count; ++i) {
    const auto path = folder / fmt::format("{:05}", i / 10) / fmt::format("{:06}.png", i);
    std::filesystem::create_directories(path.parent_path());
    const auto pixels = torch::randint(256, {size * size * 3}).to(torch::kUInt8);
    const auto* bytes = pixels.data_ptr<uint8_t>();
    formats::write_png(path, {size, size, std::vector<uint8_t>(bytes, bytes + pixels.numel())});
  }
  formats::write_png(folder / "grid.png", {9, 9, std::vector<uint8_t>(243, 0)});
  formats::write_json(folder / "samples.json",
                      {{"sampler", "ddpm"}, {"steps", 50}, {"guidance_scale", 1.5}});
}

/// Both sides procedural, of so many images.
inline app::FidOptions procedural(int64_t images,
                                  const char* reference = "procedural:1",
                                  const char* scored = "procedural:2") {
  app::FidOptions options;
  options.ref = reference;
  options.images = scored;
  options.dataset.procedural_images = images;
  return options;
}

/// An image of noise.
inline void write_noise(const std::filesystem::path& path, int width, int height, int seed) {
  std::filesystem::create_directories(path.parent_path());
  torch::manual_seed(seed);
  const auto pixels = torch::randint(256, {width * height * 3}).to(torch::kUInt8);
  const auto* bytes = pixels.data_ptr<uint8_t>();
  formats::write_png(path, {width, height, std::vector<uint8_t>(bytes, bytes + pixels.numel())});
}

inline std::string warnings_of(const app::FidResult& result) {
  return result.json["warnings"].dump();
}

}  // namespace uvic::test
