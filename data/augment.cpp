#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/hash.h"

namespace uvic::data {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kScaleExponent = 0.2, kMostShift = 1.0 / 8;

/// Two independent normal numbers, by Box and Muller.
std::array<double, 2> two_normals(base::RandomStream& random) {
  const double size = std::sqrt(-2 * std::log(1 - static_cast<double>(random.uniform()))),
               angle = 2 * kPi * static_cast<double>(random.uniform());
  return {size * std::cos(angle), size * std::sin(angle)};
}

std::array<double, 2> rotated(double angle, const std::array<double, 2>& p) {
  const double c = std::cos(angle), s = std::sin(angle);
  return {c * p[0] - s * p[1], s * p[0] + c * p[1]};
}

/// The pixel at a whole place, in the image that is repeated in the mirror.
int64_t mirrored_index(int64_t i, int64_t side) {
  const int64_t period = 2 * side;
  i = ((i % period) + period) % period;
  return i < side ? i : period - 1 - i;
}

/// Where a sample of the source is, and the weights of its four pixels.
struct Sample {
  std::array<int64_t, 2> x, y;
  double right, below;
};

Sample sample_at(const std::array<double, 2>& place, int64_t side) {
  const double column = (place[0] + 0.5) * static_cast<double>(side) - 0.5,
               row = (place[1] + 0.5) * static_cast<double>(side) - 0.5;
  const auto left = static_cast<int64_t>(std::floor(column)),
             top = static_cast<int64_t>(std::floor(row));
  return {{mirrored_index(left, side), mirrored_index(left + 1, side)},
          {mirrored_index(top, side), mirrored_index(top + 1, side)},
          column - static_cast<double>(left),
          row - static_cast<double>(top)};
}

double value_of(const uint8_t* plane, int64_t side, const Sample& s) {
  const auto pixel = [&](int row, int column) {
    return static_cast<double>(
        plane[s.y[static_cast<size_t>(row)] * side + s.x[static_cast<size_t>(column)]]);
  };
  const double above = (1 - s.right) * pixel(0, 0) + s.right * pixel(0, 1),
               under = (1 - s.right) * pixel(1, 0) + s.right * pixel(1, 1);
  return (1 - s.below) * above + s.below * under;
}

bool only_mirrors(const Augment& a) {
  return a.scale == 0 && a.angle == 0 && a.stretch == 0 && a.x == 0 && a.y == 0;
}

void mirror(const Augment& a, int64_t side, uint8_t* planes) {
  for (int64_t row = 0; a.mirrored && row < 3 * side; ++row)
    std::reverse(planes + row * side, planes + (row + 1) * side);
  for (int64_t plane = 0; a.upside_down && plane < 3; ++plane)
    for (int64_t row = 0; row < side / 2; ++row) {
      auto* upper = planes + (plane * side + row) * side;
      std::swap_ranges(upper, upper + side, planes + (plane * side + side - 1 - row) * side);
    }
}

}  // namespace

std::array<float, kAugmentNumbers> Augment::numbers() const {
  const auto narrow = [](double value) { return static_cast<float>(value); };
  return {mirrored ? 1.0F : 0.0F,
          upside_down ? 1.0F : 0.0F,
          narrow(scale),
          narrow(std::cos(angle) - 1),
          narrow(std::sin(angle)),
          narrow(stretch * std::cos(stretch_angle)),
          narrow(stretch * std::sin(stretch_angle)),
          narrow(x),
          narrow(y)};
}

std::array<double, 2> Augment::source_of(double to_x, double to_y) const {
  std::array<double, 2> p = {to_x - kMostShift * x, to_y - kMostShift * y};
  p = rotated(-stretch_angle, p);
  const double stretched = std::exp2(kScaleExponent * stretch);
  p = {p[0] / stretched, p[1] * stretched};
  p = rotated(stretch_angle - angle, p);
  const double scaled = std::exp2(kScaleExponent * scale);
  return {(mirrored ? -p[0] : p[0]) / scaled, (upside_down ? -p[1] : p[1]) / scaled};
}

Augment draw_augment(uint64_t word, double probability, bool flip) {
  // Always the same draws in the same order: the probability decides which of them count.
  base::RandomStream random(word, 0);
  const auto counts = [&] { return static_cast<double>(random.uniform()) < probability; };
  const auto turn = [&] { return kPi * (2 * static_cast<double>(random.uniform()) - 1); };
  Augment a;
  const bool mirrored = random.next() >> 63, upside_down = random.next() >> 63;
  a.mirrored = flip && mirrored;
  a.upside_down = counts() && upside_down;
  const auto sizes = two_normals(random), shift = two_normals(random);
  const double angle = turn(), stretch_angle = turn();
  if (counts()) a.scale = sizes[0];
  if (counts()) a.angle = angle;
  if (counts()) a.stretch = sizes[1], a.stretch_angle = stretch_angle;
  if (counts()) a.x = shift[0], a.y = shift[1];
  if (random.next() >> 63) a.stretch_angle = 0;
  return a;
}

void apply_augment(const Augment& augment, int64_t side, uint8_t* planes) {
  if (only_mirrors(augment)) return mirror(augment, side, planes);
  const std::vector<uint8_t> source(planes, planes + 3 * side * side);
  const auto place = [&](int64_t pixel, int part) {
    return (static_cast<double>(pixel) + 0.25 + 0.5 * part) / static_cast<double>(side) - 0.5;
  };
  // source_of() is affine: an origin, and what a step in x and in y adds.
  const auto origin = augment.source_of(0, 0), in_x = augment.source_of(1, 0),
             in_y = augment.source_of(0, 1);
  const auto source_place = [&](double x, double y) {
    std::array<double, 2> p = origin;
    for (size_t i = 0; i < 2; ++i) p[i] += x * (in_x[i] - origin[i]) + y * (in_y[i] - origin[i]);
    return p;
  };
  for (int64_t row = 0; row < side; ++row)
    for (int64_t column = 0; column < side; ++column) {
      std::array<double, 3> sums = {0, 0, 0};
      for (int part = 0; part < 4; ++part) {
        const auto sample =
            sample_at(source_place(place(column, part % 2), place(row, part / 2)), side);
        for (size_t plane = 0; plane < 3; ++plane)
          sums[plane] +=
              value_of(source.data() + static_cast<int64_t>(plane) * side * side, side, sample);
      }
      for (size_t plane = 0; plane < 3; ++plane)
        planes[(static_cast<int64_t>(plane) * side + row) * side + column] =
            static_cast<uint8_t>(std::lround(sums[plane] / 4));
    }
}

}  // namespace uvic::data
