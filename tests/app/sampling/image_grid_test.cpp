// Image grids: the position of every tile, and errors.
#include "app/sampling/image_grid.h"

#include <array>

#include "base/torch.h"
#include "tests/support/catch.h"

using namespace uvic::app;
using uvic::formats::Image;

namespace {

Image filled(int width, int height, uint8_t value) {
  return {width, height, std::vector<uint8_t>(static_cast<size_t>(width) * height * 3, value)};
}

uint8_t red(const Image& image, int x, int y) {
  return image.rgb[3 * static_cast<size_t>(y * image.width + x)];
}

}  // namespace

TEST_CASE("tiles are in reading order with gaps between and around", "[image_grid]") {
  GridOptions options;
  options.columns = 2;
  options.scale = 1;
  options.gap_px = 1;
  const auto grid = image_grid({filled(2, 3, 10), filled(2, 3, 20), filled(2, 3, 30)}, options);
  REQUIRE(grid.width == 1 + 2 * 3);
  REQUIRE(grid.height == 1 + 2 * 4);
  CHECK(red(grid, 1, 1) == 10);
  CHECK(red(grid, 4, 1) == 20);
  CHECK(red(grid, 1, 5) == 30);
  CHECK(red(grid, 4, 5) == 255);  // no fourth tile
  CHECK(red(grid, 0, 0) == 255);
  CHECK(red(grid, 3, 1) == 255);
}

TEST_CASE("small tiles are enlarged by whole pixels, to at least 64 px", "[image_grid]") {
  auto tile = filled(32, 32, 0);
  for (int c = 0; c < 3; ++c) tile.rgb[static_cast<size_t>(c)] = 200;  // its top left pixel
  const auto grid = image_grid({tile}, {1});
  REQUIRE(grid.width == 64 + 4);
  for (const int x : {2, 3})
    for (const int y : {2, 3}) CHECK(red(grid, x, y) == 200);
  CHECK(red(grid, 4, 2) == 0);
  CHECK(image_grid({filled(65, 65, 0)}, {1}).width == 65 + 4);
}

TEST_CASE("row labels make room at the left and leave the tiles as they are", "[image_grid]") {
  GridOptions options{1, 1, 2};
  const auto plain = image_grid({filled(64, 64, 9), filled(64, 64, 7)}, options);
  options.row_labels = {"cat", "aeroplane"};
  const auto labelled = image_grid({filled(64, 64, 9), filled(64, 64, 7)}, options);
  REQUIRE(labelled.width > plain.width);
  REQUIRE(labelled.height == plain.height);
  const int offset = labelled.width - plain.width;
  for (int y = 0; y < plain.height; ++y)
    for (int x = 0; x < plain.width; ++x) REQUIRE(red(labelled, x + offset, y) == red(plain, x, y));
  bool ink = false;
  for (int y = 0; y < labelled.height; ++y)
    for (int x = 0; x < offset; ++x) ink = ink || red(labelled, x, y) < 128;
  CHECK(ink);
}

TEST_CASE("a tensor of planes gives the same sheet as its images", "[image_grid]") {
  const auto planes = torch::randint(256, {5, 3, 8, 6}, torch::kInt64).to(torch::kUInt8);
  const auto images = to_images(planes);
  REQUIRE(images.size() == 5);
  CHECK(images[4].rgb[(3 * 6 + 2) * 3 + 1] == planes[4][1][3][2].item<uint8_t>());
  CHECK(image_grid(planes).rgb == image_grid(images).rgb);
  CHECK_THROWS_AS(to_images(planes.to(torch::kFloat32)), std::invalid_argument);
  CHECK_THROWS_AS(to_images(planes[0]), std::invalid_argument);
}

TEST_CASE("tiles of two sizes, or none, are refused", "[image_grid]") {
  CHECK_THROWS_AS(image_grid({filled(4, 4, 0), filled(5, 4, 0)}), std::invalid_argument);
  CHECK_THROWS_AS(image_grid(std::vector<Image>{}), std::invalid_argument);
  CHECK_THROWS_AS(image_grid({Image{}}), std::invalid_argument);
  CHECK_THROWS_AS(image_grid({filled(4, 4, 0)}, {0}), std::invalid_argument);
}

TEST_CASE("images side by side keep their pixels under their headings", "[image_grid]") {
  const auto sheet = side_by_side({filled(50, 20, 1), filled(60, 30, 2)}, {"a", "b"});
  CHECK(sheet.width > 110);
  CHECK(sheet.height > 30);
  CHECK(std::count(sheet.rgb.begin(), sheet.rgb.end(), 1) == 50 * 20 * 3);
  CHECK(std::count(sheet.rgb.begin(), sheet.rgb.end(), 2) == 60 * 30 * 3);
  CHECK_THROWS_AS(side_by_side({filled(5, 5, 0)}, {}), std::invalid_argument);
}

TEST_CASE("shrinking keeps the shape and the mean", "[image_grid]") {
  const auto small = at_most_wide(filled(100, 50, 77), 40);
  CHECK(small.width == 40);
  CHECK(small.height == 20);
  CHECK(red(small, 20, 10) == 77);
  CHECK(at_most_wide(filled(30, 30, 5), 40).width == 30);
}

TEST_CASE("captions take lines below each tile and leave the tiles as they are", "[grid]") {
  const Image red{32, 32, [] {
                    std::vector<uint8_t> bytes;
                    for (int i = 0; i < 32 * 32; ++i)
                      for (const uint8_t value : {255, 0, 0}) bytes.push_back(value);
                    return bytes;
                  }()};
  GridOptions options;
  options.columns = 2;
  options.scale = 4;
  const auto plain = image_grid({red, red, red}, options);
  options.captions = {"a small red star on a dark, striped ground", "", "short"};
  const auto captioned = image_grid({red, red, red}, options);
  CHECK(captioned.width == plain.width);
  CHECK(captioned.height > plain.height + 2 * 14);
  const auto at = [&](int x, int y) {
    const auto* pixel = &captioned.rgb[3 * static_cast<size_t>(y * captioned.width + x)];
    return std::array<int, 3>{pixel[0], pixel[1], pixel[2]};
  };
  CHECK(at(2, 2) == std::array<int, 3>{255, 0, 0});
  CHECK(at(2 + 127, 2 + 127) == std::array<int, 3>{255, 0, 0});
  int ink = 0;
  for (int x = 2; x < 130; ++x)
    for (int y = 131; y < 145; ++y) ink += at(x, y)[0] < 128;
  CHECK(ink > 20);  // the first line of the caption
}
