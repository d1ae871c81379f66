#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/hash.h"
#include "base/torch.h"
#include "data/loader.h"
#include "data/procedural.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::data;

namespace {

/// [3, side, side] whose value at (x, y), in sides from the centre, is 128 + 60 (a x + b y).
std::vector<uint8_t> ramp(int64_t side, double a, double b) {
  std::vector<uint8_t> planes;
  for (int plane = 0; plane < 3; ++plane)
    for (int64_t row = 0; row < side; ++row)
      for (int64_t column = 0; column < side; ++column) {
        const auto from_centre = [&](int64_t i) {
          return (static_cast<double>(i) + 0.5) / static_cast<double>(side) - 0.5;
        };
        planes.push_back(static_cast<uint8_t>(
            std::lround(128 + 60 * (a * from_centre(column) + b * from_centre(row)))));
      }
  return planes;
}

/// The greatest difference away from the edges, where nothing is mirrored in.
int difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b, int64_t side) {
  int most = 0;
  for (int64_t row = side / 4; row < 3 * side / 4; ++row)
    for (int64_t column = side / 4; column < 3 * side / 4; ++column)
      most = std::max(most, std::abs(a[row * side + column] - b[row * side + column]));
  return most;
}

std::vector<uint8_t> changed(const Augment& augment, std::vector<uint8_t> planes, int64_t side) {
  apply_augment(augment, side, planes.data());
  return planes;
}

torch::Tensor matrix(double a, double b, double c, double d) {
  return torch::tensor({a, b, c, d}, torch::kFloat64).view({2, 2});
}

torch::Tensor rotation(double angle) {
  return matrix(std::cos(angle), -std::sin(angle), std::sin(angle), std::cos(angle));
}

}  // namespace

TEST_CASE("augment: the source place is that of the inverse of the product of matrices",
          "[augment]") {
  Augment a;
  a.mirrored = true, a.scale = 0.7, a.angle = 0.4, a.stretch_angle = -1.1, a.stretch = -0.8;
  a.x = 0.5, a.y = -1.5;
  const double scaled = std::pow(2, 0.2 * a.scale), stretched = std::pow(2, 0.2 * a.stretch);
  const auto product = rotation(a.stretch_angle)
                           .mm(matrix(stretched, 0, 0, 1 / stretched))
                           .mm(rotation(-a.stretch_angle))
                           .mm(rotation(a.angle))
                           .mm(matrix(scaled, 0, 0, scaled))
                           .mm(matrix(-1, 0, 0, 1));
  const auto from = torch::tensor({0.3, -0.2}, torch::kFloat64);
  const auto to = product.mv(from) + torch::tensor({a.x, a.y}, torch::kFloat64) / 8;
  const auto found = a.source_of(to[0].item<double>(), to[1].item<double>());
  CHECK(found[0] == Approx(0.3).epsilon(1e-12));
  CHECK(found[1] == Approx(-0.2).epsilon(1e-12));
}

TEST_CASE("augment: numbers are those of the paper's table", "[augment]") {
  Augment a;
  CHECK(a.numbers() == std::array<float, kAugmentNumbers>{});
  a.mirrored = true, a.scale = 0.5, a.angle = std::acos(-1.0) / 2;
  a.stretch = 2, a.stretch_angle = std::acos(-1.0), a.x = -1, a.y = 3;
  const std::array<float, kAugmentNumbers> expected = {1, 0, 0.5, -1, 1, -2, 0, -1, 3};
  for (size_t i = 0; i < expected.size(); ++i)
    CHECK(a.numbers()[i] == Approx(expected[i]).margin(1e-6));
}

TEST_CASE("augment: ramps are mirrored, turned, moved and scaled as they should be", "[augment]") {
  constexpr int64_t kSide = 32;
  const auto in_x = ramp(kSide, 1, 0), in_y = ramp(kSide, 0, 1);
  CHECK(changed({}, in_x, kSide) == in_x);
  Augment a;
  a.mirrored = true;  // what was at x is at -x; no value is between two
  auto reversed = in_x;
  for (int64_t row = 0; row < 3 * kSide; ++row)
    std::reverse(reversed.begin() + row * kSide, reversed.begin() + (row + 1) * kSide);
  CHECK(changed(a, in_x, kSide) == reversed);
  CHECK(changed(a, in_y, kSide) == in_y);
  a = {}, a.upside_down = true;
  CHECK(difference(changed(a, in_y, kSide), ramp(kSide, 0, -1), kSide) <= 1);
  CHECK(changed(a, changed(a, in_y, kSide), kSide) == in_y);
  a = {}, a.angle = std::acos(-1.0) / 2;  // (x, y) goes to (-y, x): the value x is then at y
  CHECK(difference(changed(a, in_x, kSide), in_y, kSide) <= 1);
  CHECK(difference(changed(a, in_y, kSide), ramp(kSide, -1, 0), kSide) <= 1);
  a = {}, a.x = 1;  // by an eighth of the side: values fall by 60 / 8
  auto moved = in_x;
  for (auto& value : moved) value = static_cast<uint8_t>(std::lround(value - 7.5));
  CHECK(difference(changed(a, in_x, kSide), moved, kSide) <= 1);
  CHECK(difference(changed(a, in_y, kSide), in_y, kSide) <= 1);
  a = {}, a.scale = 5;  // twice as large
  CHECK(difference(changed(a, in_x, kSide), ramp(kSide, 0.5, 0), kSide) <= 1);
  a = {}, a.stretch = 5, a.stretch_angle = 0;  // twice as wide, half as high
  CHECK(difference(changed(a, in_x, kSide), ramp(kSide, 0.5, 0), kSide) <= 1);
  a.stretch_angle = std::acos(-1.0) / 2;  // along y
  CHECK(difference(changed(a, in_y, kSide), ramp(kSide, 0, 0.5), kSide) <= 1);
  // Beyond an edge is the mirror: nothing but the values of the image.
  a = {}, a.x = 20, a.angle = 1;
  for (const auto value : changed(a, in_x, kSide)) CHECK((value >= 97 && value <= 159));
}

TEST_CASE("augment: each change comes as often as it should, with its distribution", "[augment]") {
  constexpr int kDraws = 20000;
  int mirrored = 0, upside_down = 0, scaled = 0, turned = 0, stretched = 0, moved = 0;
  int along_x = 0;
  double square = 0, angle_square = 0;
  for (uint64_t word = 0; word < kDraws; ++word) {
    const auto a = draw_augment(base::hash2(7, word), 0.25, true);
    mirrored += a.mirrored, upside_down += a.upside_down, scaled += a.scale != 0;
    turned += a.angle != 0, stretched += a.stretch != 0, moved += a.x != 0;
    along_x += a.stretch != 0 && a.stretch_angle == 0;
    square += a.scale * a.scale, angle_square += a.angle * a.angle;
    CHECK((a.x != 0) == (a.y != 0));
  }
  const auto share = [&](int count) { return static_cast<double>(count) / kDraws; };
  CHECK(share(mirrored) == Approx(0.5).margin(0.015));  // 4 standard deviations
  CHECK(share(upside_down) == Approx(0.125).margin(0.01));
  for (const int count : {scaled, turned, stretched, moved})
    CHECK(share(count) == Approx(0.25).margin(0.013));
  CHECK(static_cast<double>(along_x) / stretched == Approx(0.5).margin(0.03));
  CHECK(square / scaled == Approx(1).margin(0.08));
  CHECK(angle_square / turned == Approx(std::pow(std::acos(-1.0), 2) / 3).margin(0.2));
  for (uint64_t word = 0; word < 100; ++word) {
    const auto none = draw_augment(word, 0, false);
    CHECK(none.numbers() == std::array<float, kAugmentNumbers>{});
    CHECK(draw_augment(word, 1, false).scale != 0);
  }
}

TEST_CASE("augment: batches are a function of seed and position, whoever loads them",
          "[augment][loader]") {
  const ProceduralDataset set(50, 16, 0);
  LoaderOptions options;
  options.batch_size = 12, options.seed = 5, options.workers = 0, options.augment = 0.5;
  Loader one(set, options);
  const auto whole = one.next();
  REQUIRE(whole.augments.sizes() == torch::IntArrayRef({12, kAugmentNumbers}));
  options.workers = 3, options.batch_size = 6;
  Loader two(set, options);
  for (int64_t half = 0; half < 2; ++half) {
    const auto part = two.next();
    CHECK(torch::equal(part.images, whole.images.slice(0, 6 * half, 6 * half + 6)));
    CHECK(torch::equal(part.augments, whole.augments.slice(0, 6 * half, 6 * half + 6)));
  }
  options.batch_size = 12, options.world = 2, options.others = true;
  for (options.rank = 0; options.rank < 2; ++options.rank) {
    Loader own(set, options);
    const auto part = own.next();
    CHECK(
        torch::equal(part.augments, whole.slice(6 * options.rank, 6 * options.rank + 6).augments));
    CHECK(torch::equal(part.other_images[0], whole.images[6 * options.rank + 1]));
  }
  options.rank = 0, options.world = 1, options.others = false, options.augment = 0;
  Loader plain(set, options);
  CHECK_FALSE(plain.next().augments.defined());
  options.augment = 1.5;
  CHECK_THROWS_WITH(Loader(set, options), Catch::Contains("want a probability"));
}
