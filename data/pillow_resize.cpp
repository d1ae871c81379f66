#include "data/pillow_resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace uvic::data {
namespace {

using formats::Image;

double sinc(double x) {
  if (x == 0) return 1;
  x *= M_PI;
  return std::sin(x) / x;
}

double lanczos(double x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

double box(double x) { return x > -0.5 && x <= 0.5 ? 1 : 0; }

constexpr int kFractionBits = 32 - 8 - 2;

/// The pixels of the source that a pixel of the result is a sum of.
struct Taps {
  int first;
  std::vector<int32_t> weights;
};

std::vector<Taps> taps_of(int from, int to, const ResizeFilter& filter) {
  const double scale = static_cast<double>(from) / to, stretch = std::max(scale, 1.0);
  const double support = filter.support * stretch, step = 1 / stretch;
  std::vector<Taps> taps(static_cast<size_t>(to));
  for (int i = 0; i < to; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(centre - support + 0.5));
    const int end = std::min(from, static_cast<int>(centre + support + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int x = first; x < end; ++x) {
      weights.push_back(filter.weight((x - centre + 0.5) * step));
      sum += weights.back();
    }
    auto& own = taps[static_cast<size_t>(i)];
    own.first = first;
    for (double weight : weights) {
      if (sum != 0) weight *= 1 / sum;
      own.weights.push_back(
          static_cast<int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kFractionBits)));
    }
  }
  return taps;
}

/// A row of `pixels` places, `stride` bytes apart, of which each tap takes some.
uint8_t sum_of(const Taps& taps, const uint8_t* first, size_t stride) {
  int32_t sum = 1 << (kFractionBits - 1);
  for (const auto weight : taps.weights) {
    sum += *first * weight;
    first += stride;
  }
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

Image resize_rows(const Image& image, int width, const ResizeFilter& filter) {
  const auto taps = taps_of(image.width, width, filter);
  Image out{
      width, image.height, std::vector<uint8_t>(static_cast<size_t>(width) * image.height * 3)};
  auto* to = out.rgb.data();
  for (int y = 0; y < image.height; ++y) {
    const auto* row = image.rgb.data() + static_cast<size_t>(y) * image.width * 3;
    for (const auto& tap : taps)
      for (int c = 0; c < 3; ++c) *to++ = sum_of(tap, row + 3 * tap.first + c, 3);
  }
  return out;
}

Image resize_columns(const Image& image, int height, const ResizeFilter& filter) {
  const auto taps = taps_of(image.height, height, filter);
  const size_t row = static_cast<size_t>(image.width) * 3;
  Image out{image.width, height, std::vector<uint8_t>(row * height)};
  auto* to = out.rgb.data();
  for (const auto& tap : taps)
    for (size_t x = 0; x < row; ++x)
      *to++ = sum_of(tap, image.rgb.data() + static_cast<size_t>(tap.first) * row + x, row);
  return out;
}

Image cut(const Image& image, int left, int top, int width, int height) {
  Image out{width, height, std::vector<uint8_t>(static_cast<size_t>(width) * height * 3)};
  for (int y = 0; y < height; ++y)
    std::memcpy(out.rgb.data() + static_cast<size_t>(y) * width * 3,
                image.rgb.data() + (static_cast<size_t>(top + y) * image.width + left) * 3,
                static_cast<size_t>(width) * 3);
  return out;
}

/// center_crop of the official datasets.py.
Image fit_lanczos(const Image& image, int size) {
  const int side = std::min(image.width, image.height);
  const auto square = cut(image, (image.width - side) / 2, (image.height - side) / 2, side, side);
  return pillow_resize(square, size, size, kPillowLanczos);
}

/// Python's round: halves go to the even number.
int round_even(double x) { return static_cast<int>(std::nearbyint(x)); }

/// center_crop_arr of the official datasets.py, which is ADM's.
Image fit_adm(const Image& given, int size) {
  Image image = given;
  while (std::min(image.width, image.height) >= 2 * size)
    image = pillow_resize(image, image.width / 2, image.height / 2, kPillowBox);
  const double scale = static_cast<double>(size) / std::min(image.width, image.height);
  image = pillow_resize(
      image, round_even(image.width * scale), round_even(image.height * scale), kPillowBicubic);
  return cut(image, (image.width - size) / 2, (image.height - size) / 2, size, size);
}

}  // namespace

const ResizeFilter kPillowBox{box, 0.5}, kPillowBicubic{bicubic, 2}, kPillowLanczos{lanczos, 3};

Image pillow_resize(const Image& image, int width, int height, const ResizeFilter& filter) {
  const bool rows = width != image.width, columns = height != image.height;
  if (!rows && !columns) return image;
  if (!columns) return resize_rows(image, width, filter);
  return resize_columns(rows ? resize_rows(image, width, filter) : image, height, filter);
}

base::Table<SquareCrop>& square_crops() {
  static base::Table<SquareCrop> crops(
      "crop",
      {{"lanczos",
        "centre crop, then Pillow's Lanczos: the official MS-COCO features",
        fit_lanczos},
       {"adm",
        "halved by area, then Pillow's bicubic, then centre crop: the official ImageNet features",
        fit_adm}});
  return crops;
}

}  // namespace uvic::data
