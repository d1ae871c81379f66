#include "data/resize.h"

#include "tests/data/pictures.h"
#include "tests/support/catch.h"

using namespace uvic;
using formats::Image;

namespace {

std::vector<uint8_t> fitted(const Image& image, int64_t size) {
  std::vector<uint8_t> planes(static_cast<size_t>(3 * size * size));
  data::fit_square(image, size, planes.data());
  return planes;
}

/// Red tells the column, green the row.
Image ramp(int width, int height) {
  return test::drawn_picture(width, height, [](int x, int y) {
    return std::array<uint8_t, 3>{static_cast<uint8_t>(x), static_cast<uint8_t>(y), 9};
  });
}

}  // namespace

TEST_CASE("fit_square: a picture of the right size passes unchanged, as planes", "[resize]") {
  const auto planes = fitted(ramp(4, 4), 4);
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 4; ++x) {
      CHECK(planes[y * 4 + x] == x);
      CHECK(planes[16 + y * 4 + x] == y);
      CHECK(planes[32 + y * 4 + x] == 9);
    }
}

TEST_CASE("fit_square: the centre is kept, an odd margin loses the right or bottom", "[resize]") {
  const auto wide = fitted(ramp(9, 4), 4);  // 5 columns too many: 2 left, 3 right
  CHECK(wide[0] == 2);
  CHECK(wide[3] == 5);
  const auto tall = fitted(ramp(4, 7), 4);  // 3 rows too many: 1 above, 2 below
  CHECK(tall[16] == 1);
  CHECK(tall[16 + 12] == 4);
}

TEST_CASE("fit_square: shrinking averages the area under a pixel", "[resize]") {
  const auto checks = test::drawn_picture(64, 64, [](int x, int y) {
    const uint8_t value = (x + y) % 2 ? 255 : 0;
    return std::array<uint8_t, 3>{value, value, value};
  });
  for (const uint8_t value : fitted(checks, 16)) {  // a filter that skips pixels gives 0 or 255
    CHECK(value >= 127);
    CHECK(value <= 128);
  }
  for (const uint8_t value :
       fitted(checks, 24)) {  // 2.67 px: the parts of a check that fall inside
    CHECK(value >= 100);
    CHECK(value <= 155);
  }
}

TEST_CASE("fit_square: enlarging keeps a plain colour and the order of a ramp", "[resize]") {
  const auto plain = fitted(test::plain_picture(5, 5, {10, 200, 30}), 13);
  CHECK(std::all_of(plain.begin(), plain.begin() + 169, [](int v) { return v == 10; }));
  CHECK(std::all_of(plain.begin() + 169, plain.begin() + 338, [](int v) { return v == 200; }));
  const auto row = fitted(ramp(64, 64), 128);
  CHECK(std::is_sorted(row.begin() + 4, row.begin() + 124));
}

TEST_CASE("fit_square: nothing comes of nothing", "[resize]") {
  uint8_t planes[3];
  CHECK_THROWS_AS(data::fit_square(Image{}, 1, planes), std::invalid_argument);
  CHECK_THROWS_AS(data::fit_square(ramp(2, 2), 0, planes), std::invalid_argument);
}
