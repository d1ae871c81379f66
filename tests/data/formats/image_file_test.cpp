#include "data/formats/image_file.h"

#include <stdexcept>

#include "data/formats/atomic_file.h"
#include "data/formats/crc32.h"
#include "tests/data/formats/broken_file.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::formats;
using Catch::Contains;

namespace {

Image gradient(int width, int height) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (const int value : {x * 7, y * 11, x + y})
        image.rgb.push_back(static_cast<uint8_t>(value));
    }
  }
  return image;
}

Image decode(const std::string& bytes) {
  return decode_image(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "the-file");
}

void decode_file(const std::shared_ptr<const MappedFile>& file) {
  decode_image(file->data(), file->size(), file->name());
}

std::string golden(const std::string& name) {
  return read_file(UVIC_GOLDEN_DIR "/formats/" + name);
}

}  // namespace

TEST_CASE("image: a PNG reads back as it was written", "[image]") {
  const uvic::test::Scratch scratch;
  for (const auto& [width, height] : {std::pair(1, 1), {3, 5}, {64, 32}, {257, 2}}) {
    const Image image = gradient(width, height);
    write_png(scratch / "a.png", image);
    const Image back = read_image(scratch / "a.png");
    CHECK(back.width == width);
    CHECK(back.height == height);
    CHECK(back.rgb == image.rgb);
  }
}

TEST_CASE("image: grey, palette, 16-bit and transparent PNGs become RGB", "[image]") {
  // 2 x 2: black, 50 % grey / white, red (grey files: its luma); see make_images.py.
  for (const char* name : {"rgb.png", "palette.png", "rgba.png", "interlaced.png"}) {
    INFO(name);
    const Image image = decode(golden(name));
    REQUIRE(image.width == 2);
    CHECK(image.rgb == std::vector<uint8_t>{0, 0, 0, 128, 128, 128, 255, 255, 255, 255, 0, 0});
  }
  for (const char* name : {"grey.png", "grey16.png"}) {
    INFO(name);
    CHECK(decode(golden(name)).rgb ==
          std::vector<uint8_t>{0, 0, 0, 128, 128, 128, 255, 255, 255, 76, 76, 76});
  }
}

TEST_CASE("image: BMP from bottom or top and JPEG, baseline or progressive, decode", "[image]") {
  CHECK(decode(golden("rgb.bmp")).rgb ==
        std::vector<uint8_t>{0, 0, 0, 128, 128, 128, 255, 255, 255, 255, 0, 0});
  for (const char* name : {"flat.jpg", "flat_progressive.jpg"}) {
    const Image image = decode(golden(name));
    REQUIRE(image.width == 16);
    for (size_t i = 0; i < image.rgb.size(); i += 3) {
      CHECK(std::abs(image.rgb[i] - 200) <= 3);  // a flat (200, 100, 50) at quality 90
      CHECK(std::abs(image.rgb[i + 1] - 100) <= 3);
      CHECK(std::abs(image.rgb[i + 2] - 50) <= 3);
    }
  }
}

TEST_CASE("image: what is no image is named", "[image]") {
  const uvic::test::Scratch scratch;
  write_file_atomically(scratch / "a.png", "this is text");
  CHECK_THROWS_WITH(read_image(scratch / "a.png"),
                    Contains("a.png: not a PNG, JPEG, WebP or BMP image"));
  write_file_atomically(scratch / "b.png", "");
  CHECK_THROWS_WITH(read_image(scratch / "b.png"), Contains("b.png: not a PNG"));
  CHECK_THROWS_WITH(read_image(scratch / "none.png"), Contains("none.png: No such file"));
}

TEST_CASE("image: an image cut anywhere is refused, and damage never crashes", "[image]") {
  for (const char* name : {"rgb.png",
                           "palette.png",
                           "interlaced.png",
                           "rgb.bmp",
                           "flat.jpg",
                           "flat_progressive.jpg",
                           "restarts.jpg",
                           "separate.jpg",
                           "lossless.webp",
                           "lossy.webp"}) {
    INFO(name);
    CHECK(uvic::test::survive_damage(golden(name), decode_file) == 0);
  }
}

TEST_CASE("image: a small file that claims a huge image costs nothing", "[image]") {
  const auto sized = [](const std::string& width, const std::string& height) {
    std::string png = golden("rgb.png");
    png.replace(16, 8, width + height);
    const uint32_t crc = crc32(std::string_view(png).substr(12, 17));  // of the header chunk
    for (size_t i = 0; i < 4; ++i) png[29 + i] = static_cast<char>(crc >> (24 - 8 * i));
    return png;
  };
  const std::string side("\0\0\x40\0", 4);  // 16384
  CHECK_THROWS_WITH(decode(sized(side, side)), Contains("the image is 16384x16384 px"));
  CHECK_THROWS_AS(decode(sized(std::string("\0\1\0\0", 4), side)), std::runtime_error);
  const std::string within("\0\0\x20\0", 4);  // 8192: 67 million pixels
  CHECK_THROWS_WITH(decode(sized(within, within)), Contains("can't hold the 8192x8192 image"));
  CHECK_THROWS_WITH(decode(sized(side, within)), Contains("100 million in all"));
}

TEST_CASE("image: a PNG whose checksum fails is damaged, even where it still decodes", "[image]") {
  std::string png = golden("rgb.png");
  png[png.size() - 13] ^= 1;  // the last byte of the data's checksum
  CHECK_THROWS_WITH(decode(png), Contains("truncated or damaged"));
}

TEST_CASE("image: a JPEG whose Huffman table holds more than 256 codes is refused", "[image]") {
  std::string jpeg = golden("flat.jpg");
  jpeg.insert(2,
              "\xff\xc4" + std::string("\x01\x14\x00", 3) + std::string(16, '\x11') +
                  std::string(257, '\0'));
  CHECK_THROWS_WITH(decode(jpeg), Contains("truncated or damaged"));  // 16 * 17 = 272 codes
}

TEST_CASE("image: encode_png refuses an image whose size and bytes disagree", "[image]") {
  CHECK_THROWS_AS(encode_png({2, 2, std::vector<uint8_t>(11)}), std::invalid_argument);
  CHECK_THROWS_AS(encode_png({0, 0, {}}), std::invalid_argument);
}

TEST_CASE("image: WebP decodes, lossless to the bit, alpha is dropped", "[image]") {
  const std::vector<uint8_t> expected = {0, 0, 0, 128, 128, 128, 255, 255, 255, 255, 0, 0};
  for (const char* name : {"lossless.webp", "alpha.webp"}) {
    INFO(name);
    const Image image = decode(golden(name));
    REQUIRE(image.width == 2);
    CHECK(image.rgb == expected);
  }
  const Image lossy = decode(golden("lossy.webp"));
  REQUIRE(lossy.width == 16);
  for (size_t i = 0; i < lossy.rgb.size(); i += 3) {
    CHECK(std::abs(lossy.rgb[i] - 200) <= 4);  // a flat (200, 100, 50) at quality 90
    CHECK(std::abs(lossy.rgb[i + 1] - 100) <= 4);
    CHECK(std::abs(lossy.rgb[i + 2] - 50) <= 4);
  }
  CHECK_THROWS_WITH(decode(golden("animated.webp")), Contains("the-file: an animated WebP"));
}

TEST_CASE("image: the size is known from the header alone", "[image]") {
  const auto size = [](const std::string& name) {
    const auto bytes = golden(name);
    return image_size(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), name);
  };
  CHECK(size("rgb.png") == ImageSize{2, 2});
  CHECK(size("rgb.bmp") == ImageSize{2, 2});
  CHECK(size("restarts.jpg") == ImageSize{64, 64});
  CHECK(size("lossy.webp") == ImageSize{16, 16});
}

TEST_CASE("image: a PNG whose data inflate past its header's size is refused early", "[image]") {
  // 2 x 2 px whose compressed rows go on for 64 MiB: stored as 65 KiB by deflate's best ratio.
  const auto png = golden("bomb.png");
  REQUIRE(png.size() < 100000);
  CHECK_THROWS_WITH(decode(png), Contains("the-file: can't decode the image"));
}
