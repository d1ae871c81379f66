#include "metrics/inception_resize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace uvic::metrics {
namespace {

constexpr int64_t kSize = kInceptionImageSize;

constexpr InceptionProtocol kProtocols[] = {
    {"pytorch-fid",
     "bilinear to 299x299 between pixel centres, no antialiasing (PyTorch)",
     pytorch_fid_input},
    {"tf1", "bilinear to 299x299 from pixel corners, no antialiasing (TensorFlow 1)", tf1_input},
    {"clean", "antialiased bicubic to 299x299 (Pillow, float)", clean_input},
};

/// One axis of TensorFlow 1's bilinear: x[lo] + (x[hi] - x[lo]) * fraction.
torch::Tensor tf1_axis(const torch::Tensor& x, int64_t axis) {
  const int64_t in = x.size(axis);
  const auto scale = static_cast<float>(static_cast<double>(in) / kSize);
  const auto place = torch::arange(kSize, torch::kFloat32) * scale;
  const auto lo = place.to(torch::kInt64), hi = (lo + 1).clamp_max(in - 1);
  std::vector<int64_t> along(x.dim(), 1);
  along[axis] = kSize;
  const auto fraction = (place - lo.to(torch::kFloat32)).view(along).to(x.device());
  const auto low = x.index_select(axis, lo.to(x.device()));
  return low + (x.index_select(axis, hi.to(x.device())) - low) * fraction;
}

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// Pillow's filter as a matrix [299, in]: row i holds the weights that make output pixel i.
torch::Tensor pillow_bicubic_matrix(int64_t in) {
  const double scale = static_cast<double>(in) / kSize, filter_scale = std::max(scale, 1.0);
  const double support = 2 * filter_scale;
  auto matrix = torch::zeros({kSize, in}, torch::kFloat64);
  auto weights = matrix.accessor<double, 2>();
  for (int64_t i = 0; i < kSize; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<int64_t>(0, static_cast<int64_t>(centre - support + 0.5));
    const auto last = std::min<int64_t>(in, static_cast<int64_t>(centre + support + 0.5));
    double sum = 0;
    for (int64_t j = first; j < last; ++j)
      sum += weights[i][j] = bicubic((static_cast<double>(j) - centre + 0.5) / filter_scale);
    for (int64_t j = first; j < last; ++j) weights[i][j] /= sum;
  }
  return matrix;
}

}  // namespace

torch::Tensor pytorch_fid_input(const torch::Tensor& images) {
  const auto x = images.to(torch::kFloat32) / 255;
  return 2 * torch::upsample_bilinear2d(x, {kSize, kSize}, /*align_corners=*/false) - 1;
}

torch::Tensor tf1_input(const torch::Tensor& images) {
  return (tf1_axis(tf1_axis(images.to(torch::kFloat32), 3), 2) - 128) / 128;
}

torch::Tensor clean_input(const torch::Tensor& images) {
  const auto across = pillow_bicubic_matrix(images.size(3)).to(images.device());
  const auto down = pillow_bicubic_matrix(images.size(2)).to(images.device());
  auto x = images.to(torch::kFloat64).matmul(across.t()).to(torch::kFloat32);  // [N, 3, H, 299]
  x = down.matmul(x.to(torch::kFloat64)).to(torch::kFloat32);                  // [N, 3, 299, 299]
  return (x.clamp(0, 255) - 128) / 128;
}

std::vector<std::string> inception_protocol_names() {
  std::vector<std::string> names;
  for (const auto& protocol : kProtocols) names.emplace_back(protocol.name);
  return names;
}

const InceptionProtocol& inception_protocol(const std::string& name) {
  for (const auto& protocol : kProtocols)
    if (name == protocol.name) return protocol;
  throw std::invalid_argument(fmt::format(
      "unknown protocol {}; known: {}", name, fmt::join(inception_protocol_names(), ", ")));
}

}  // namespace uvic::metrics
