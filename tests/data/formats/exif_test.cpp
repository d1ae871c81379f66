#include "data/formats/exif.h"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/formats/atomic_file.h"
#include "tests/data/exif_bytes.h"
#include "tests/support/catch.h"

using namespace uvic::formats;
using uvic::test::exif_segment;
using uvic::test::with_exif;

namespace {

int orientation(const std::string& bytes) {
  return exif_orientation(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

/// One byte a pixel, row by row.
Image image_of(int width, int height, const std::string& pixels) {
  Image image{width, height, {}};
  for (const char pixel : pixels) image.rgb.insert(image.rgb.end(), 3, static_cast<uint8_t>(pixel));
  return image;
}

std::string pixels_of(const Image& image) {
  std::string pixels;
  for (size_t i = 0; i < image.rgb.size(); i += 3) pixels += static_cast<char>(image.rgb[i]);
  return pixels;
}

}  // namespace

TEST_CASE("exif: the orientation is read in either byte order, damage is none", "[exif]") {
  const auto jpeg = read_file(UVIC_GOLDEN_DIR "/formats/flat.jpg");
  CHECK(orientation(jpeg) == 1);
  for (int value = 1; value <= 8; ++value)
    for (const bool big_endian : {false, true})
      CHECK(orientation(with_exif(jpeg, value, big_endian)) == value);
  CHECK(orientation(with_exif(jpeg, 9)) == 1);
  CHECK(orientation("") == 1);
  auto cut = with_exif(jpeg, 6);
  for (size_t size = 0; size < 40; ++size) orientation(cut.substr(0, size));
}

TEST_CASE("exif: every orientation is turned upright", "[exif]") {
  // ab
  // cd
  // ef  as stored, two wide and three high
  const auto stored = image_of(2, 3, "abcdef");
  const std::vector<std::string> expected = {
      "abcdef", "badcfe", "fedcba", "efcdab", "acebdf", "ecafdb", "fdbeca", "bdface"};
  for (int value = 1; value <= 8; ++value) {
    INFO(value);
    const auto turned = upright(stored, value);
    CHECK(turned.width == (value < 5 ? 2 : 3));
    CHECK(pixels_of(turned) == expected[static_cast<size_t>(value) - 1]);
  }
  CHECK_THROWS_AS(upright(stored, 0), std::invalid_argument);
}
