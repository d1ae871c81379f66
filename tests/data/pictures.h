// Small pictures and folders of them for the tests of data/.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/zip_writer.h"
#include "tests/support/catch.h"

namespace uvic::test {

/// The message of an exception holds `text`; Catch2 2 and 3 name this differently.
inline auto holds(const std::string& text) {
#if defined(CATCH_VERSION_MAJOR) && CATCH_VERSION_MAJOR >= 3
  return Catch::Matchers::ContainsSubstring(text);
#else
  return Catch::Matchers::Contains(text);
#endif
}

/// A picture whose colour at (x, y) is colour(x, y), an std::array of three bytes.
template <class Colour>
formats::Image drawn_picture(int width, int height, Colour colour) {
  formats::Image image{width, height, std::vector<uint8_t>(size_t{3} * width * height)};
  for (int p = 0; p < width * height; ++p) {
    const std::array<uint8_t, 3> rgb = colour(p % width, p / width);
    std::copy(rgb.begin(), rgb.end(), image.rgb.begin() + 3 * p);
  }
  return image;
}

inline formats::Image plain_picture(int width, int height, std::array<uint8_t, 3> rgb) {
  return drawn_picture(width, height, [&](int, int) { return rgb; });
}

/// A picture of one shade of grey, which tells the pictures of a set apart.
inline formats::Image grey_picture(uint8_t shade, int side = 8) {
  return plain_picture(side, side, {shade, shade, shade});
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  formats::write_file_atomically(path, text);
}

inline void write_grey(const std::filesystem::path& path, uint8_t shade, int side = 8) {
  std::filesystem::create_directories(path.parent_path());
  formats::write_png(path, grey_picture(shade, side));
}

inline std::string grey_png(uint8_t shade, int side = 8) {
  const auto png = formats::encode_png(grey_picture(shade, side));
  return {png.begin(), png.end()};
}

/// What a dataset gives for an index: class and [3, S, S] planes.
struct Picture {
  int64_t label;
  std::vector<uint8_t> planes;
  bool operator==(const Picture& other) const {
    return label == other.label && planes == other.planes;
  }
};

inline Picture read_picture(const data::Dataset& dataset, int64_t index) {
  const auto side = static_cast<size_t>(dataset.image_size());
  Picture picture{0, std::vector<uint8_t>(3 * side * side)};
  picture.label = dataset.read(index, picture.planes.data());
  return picture;
}

/// First byte of each picture: its shade, where it was written by write_grey.
inline std::vector<int> shades(const data::Dataset& dataset) {
  std::vector<int> result;
  for (int64_t i = 0; i < dataset.size(); ++i) result.push_back(read_picture(dataset, i).planes[0]);
  return result;
}

inline std::vector<int> labels(const data::Dataset& dataset) {
  std::vector<int> result;
  for (int64_t i = 0; i < dataset.size(); ++i)
    result.push_back(static_cast<int>(read_picture(dataset, i).label));
  return result;
}

inline data::DatasetOptions at_8px(int64_t memory_limit_mib = 64, bool skip_bad = false) {
  data::DatasetOptions options;
  options.image_size = 8;
  options.memory_limit_mib = memory_limit_mib;
  options.skip_bad = skip_bad;
  return options;
}

inline std::unique_ptr<data::Dataset> open_at_8px(const std::filesystem::path& path) {
  return data::open_dataset(path.string(), at_8px());
}

/// Entries of a zip archive, in the order given.
inline void write_zip(const std::filesystem::path& path,
                      const std::vector<std::pair<std::string, std::string>>& entries) {
  formats::ZipWriter zip(path);
  for (const auto& [name, content] : entries) zip.add(name, content);
  zip.commit();
}

}  // namespace uvic::test
