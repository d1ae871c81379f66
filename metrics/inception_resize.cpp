#include "metrics/inception_resize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace uvic::metrics {
namespace {

constexpr int64_t kSize = kInceptionImageSize;

/// Where each of the 299 output pixels of one axis samples its input: between pixels lo and hi.
struct BilinearAxis {
  std::vector<int64_t> lo, hi;
  std::vector<float> fraction;

  void add(float place, int64_t in) {
    lo.push_back(static_cast<int64_t>(place));
    hi.push_back(std::min(lo.back() + 1, in - 1));
    fraction.push_back(place - static_cast<float>(lo.back()));
  }
};

/// Pixel centres: pixel i samples at (i + 1/2) in / 299 - 1/2, in float32.
BilinearAxis pytorch_axis(int64_t in) {
  const float scale = static_cast<float>(in) / static_cast<float>(kSize);
  BilinearAxis axis;
  for (int64_t i = 0; i < kSize; ++i)
    axis.add(std::max(0.0F, scale * (static_cast<float>(i) + 0.5F) - 0.5F), in);
  return axis;
}

/// Pixel corners: pixel i samples at i in / 299, in float32.
BilinearAxis tf1_axis(int64_t in) {
  const auto scale = static_cast<float>(static_cast<double>(in) / kSize);
  BilinearAxis axis;
  for (int64_t i = 0; i < kSize; ++i) axis.add(static_cast<float>(i) * scale, in);
  return axis;
}

/// uint8 [N, 3, H, W] on the CPU -> float32 [N, 3, 299, 299], channels last: (bilinear + shift) *
/// scale. Rows first; between two rows of colours side by side the compiler's vectors serve.
torch::Tensor bilinear(const torch::Tensor& images,
                       BilinearAxis (*axis)(int64_t in),
                       float shift,
                       float scale) {
  const auto in = images.contiguous();
  const int64_t n = in.size(0), height = in.size(2), width = in.size(3), plane = height * width;
  const auto across = axis(width), down = axis(height);
  auto out = torch::empty({n, 3, kSize, kSize},
                          torch::TensorOptions().memory_format(torch::MemoryFormat::ChannelsLast));
  constexpr int64_t kRow = kSize * 3;
  std::vector<float> rows(static_cast<size_t>(height * kRow));  // every input row, stretched
  for (int64_t picture = 0; picture < n; ++picture) {
    const auto* pixels = in.data_ptr<uint8_t>() + picture * 3 * plane;
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < kSize; ++x)
        for (int64_t c = 0; c < 3; ++c) {
          const auto* row = pixels + c * plane + y * width;
          const float low = row[across.lo[x]], high = row[across.hi[x]];
          rows[y * kRow + x * 3 + c] = low + (high - low) * across.fraction[x];
        }
    auto* result = out.data_ptr<float>() + picture * kSize * kRow;
    for (int64_t y = 0; y < kSize; ++y, result += kRow) {
      const auto *low = &rows[down.lo[y] * kRow], *high = &rows[down.hi[y] * kRow];
      const float fraction = down.fraction[y];
      for (int64_t i = 0; i < kRow; ++i)
        result[i] = (low[i] + (high[i] - low[i]) * fraction + shift) * scale;
    }
  }
  return out;
}

/// The same of images on another device, in tensor code.
torch::Tensor bilinear_along(const torch::Tensor& x, const BilinearAxis& axis, int64_t dim) {
  const auto index = [&](const std::vector<int64_t>& places) {
    return torch::tensor(places).to(x.device());
  };
  std::vector<int64_t> along(x.dim(), 1);
  along[dim] = kSize;
  const auto low = x.index_select(dim, index(axis.lo));
  const auto fraction = torch::tensor(axis.fraction).to(x.device()).view(along);
  return low + (x.index_select(dim, index(axis.hi)) - low) * fraction;
}

torch::Tensor bilinear_anywhere(const torch::Tensor& images,
                                BilinearAxis (*axis)(int64_t in),
                                float shift,
                                float scale) {
  if (images.is_cpu()) return bilinear(images, axis, shift, scale);
  const auto wide = bilinear_along(images.to(torch::kFloat32), axis(images.size(3)), 3);
  return (bilinear_along(wide, axis(images.size(2)), 2) + shift) * scale;
}

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// Pillow's filter of one axis: output pixel i is a weighted sum of `weights[i].size()` input
/// pixels from `first[i]` on.
struct BicubicAxis {
  std::vector<int64_t> first;
  std::vector<std::vector<double>> weights;
};

BicubicAxis pillow_bicubic(int64_t in) {
  const double scale = static_cast<double>(in) / kSize, filter_scale = std::max(scale, 1.0);
  const double support = 2 * filter_scale;
  BicubicAxis axis;
  for (int64_t i = 0; i < kSize; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<int64_t>(0, static_cast<int64_t>(centre - support + 0.5));
    const auto last = std::min<int64_t>(in, static_cast<int64_t>(centre + support + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int64_t j = first; j < last; ++j) {
      weights.push_back(bicubic((static_cast<double>(j) - centre + 0.5) / filter_scale));
      sum += weights.back();
    }
    for (double& weight : weights) weight /= sum;
    axis.first.push_back(first);
    axis.weights.push_back(std::move(weights));
  }
  return axis;
}

}  // namespace

torch::Tensor pytorch_fid_input(const torch::Tensor& images) {
  return bilinear_anywhere(images, pytorch_axis, -127.5F, 1 / 127.5F);
}

torch::Tensor tf1_input(const torch::Tensor& images) {
  return bilinear_anywhere(images, tf1_axis, -128, 1 / 128.0F);
}

torch::Tensor clean_input(const torch::Tensor& images) {
  const auto in = images.to(torch::kCPU).contiguous();
  const int64_t n = in.size(0), height = in.size(2), width = in.size(3), plane = height * width;
  const auto across = pillow_bicubic(width), down = pillow_bicubic(height);
  auto out = torch::empty({n, 3, kSize, kSize},
                          torch::TensorOptions().memory_format(torch::MemoryFormat::ChannelsLast));
  constexpr int64_t kRow = kSize * 3;
  std::vector<float> rows(static_cast<size_t>(height * kRow));
  std::vector<double> sums(kRow);
  for (int64_t picture = 0; picture < n; ++picture) {
    const auto* pixels = in.data_ptr<uint8_t>() + picture * 3 * plane;
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < kSize; ++x)
        for (int64_t c = 0; c < 3; ++c) {
          const auto* from = pixels + c * plane + y * width + across.first[x];
          const auto& weights = across.weights[x];
          double sum = 0;
          for (size_t k = 0; k < weights.size(); ++k) sum += from[k] * weights[k];
          rows[y * kRow + x * 3 + c] = static_cast<float>(sum);
        }
    auto* result = out.data_ptr<float>() + picture * kSize * kRow;
    for (int64_t y = 0; y < kSize; ++y, result += kRow) {
      std::fill(sums.begin(), sums.end(), 0.0);
      const auto& weights = down.weights[y];
      for (size_t k = 0; k < weights.size(); ++k) {
        const auto* from = &rows[(down.first[y] + static_cast<int64_t>(k)) * kRow];
        for (int64_t i = 0; i < kRow; ++i) sums[i] += from[i] * weights[k];
      }
      for (int64_t i = 0; i < kRow; ++i)
        result[i] = (std::clamp(static_cast<float>(sums[i]), 0.0F, 255.0F) - 128) / 128;
    }
  }
  return out.to(images.device());
}

base::Table<InceptionProtocol>& inception_protocols() {
  static base::Table<InceptionProtocol> protocols(
      "protocol",
      {{"pytorch-fid",
        "PyTorch's bilinear",
        "bilinear to 299x299 between pixel centres, no antialiasing (PyTorch)",
        pytorch_fid_input},
       {"tf1",
        "TensorFlow 1's, as torch-fidelity and ADM",
        "bilinear to 299x299 from pixel corners, no antialiasing (TensorFlow 1)",
        tf1_input},
       {"clean",
        "antialiased, as clean-fid",
        "antialiased bicubic to 299x299 (Pillow, float)",
        clean_input}});
  return protocols;
}

}  // namespace uvic::metrics
