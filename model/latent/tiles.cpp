#include "model/latent/tiles.h"

#include <algorithm>

namespace uvic::model {
namespace {

int64_t overlap_of(int64_t tile) { return std::max<int64_t>(1, tile / 4); }

/// The weights of a tile along one axis, [length] in elements of the result.
torch::Tensor axis_weights(
    int64_t begin, int64_t tile, int64_t length, int64_t scale, torch::TensorOptions options) {
  const auto size = std::min(tile, length) * scale;
  // Distances to the tile's ends, of the middle of an element.
  const auto at = torch::arange(size, options) + 0.5;
  const double overlap = static_cast<double>(overlap_of(tile) * scale);
  const double margin = overlap / 4, ramp = overlap / 2;
  const auto rise = [&](const torch::Tensor& distance) {
    return ((distance - margin) / ramp).clamp(0, 1);
  };
  auto weights = torch::ones({size}, options);
  if (begin > 0) weights = weights * rise(at);
  if (begin + tile < length) weights = weights * rise(static_cast<double>(size) - at);
  return weights;
}

}  // namespace

std::vector<int64_t> tile_begins(int64_t length, int64_t tile) {
  if (tile <= 0 || length <= tile) return {0};
  const int64_t step = std::max<int64_t>(1, tile - overlap_of(tile));
  const int64_t count = (length - tile + step - 1) / step + 1;
  std::vector<int64_t> begins;
  for (int64_t i = 0; i < count; ++i) begins.push_back(i * (length - tile) / (count - 1));
  return begins;
}

torch::Tensor in_tiles(const torch::Tensor& x,
                       const Tiling& tiling,
                       const std::function<torch::Tensor(const torch::Tensor&)>& work) {
  const int64_t height = x.size(2) / tiling.in, width = x.size(3) / tiling.in;
  if (tiling.tile <= 0 || (height <= tiling.tile && width <= tiling.tile)) return work(x);
  const auto part =
      [&](const torch::Tensor& t, int64_t dim, int64_t begin, int64_t length, int64_t scale) {
        return t.narrow(dim, begin * scale, std::min(tiling.tile, length) * scale);
      };
  torch::Tensor sum, total;
  for (const auto top : tile_begins(height, tiling.tile))
    for (const auto left : tile_begins(width, tiling.tile)) {
      const auto input = part(part(x, 2, top, height, tiling.in), 3, left, width, tiling.in);
      const auto done = work(input);
      const auto wide = done.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
      const auto options = torch::dtype(wide).device(done.device());
      if (!sum.defined()) {
        sum = torch::zeros({1, done.size(1), height * tiling.out, width * tiling.out}, options);
        total = torch::zeros({height * tiling.out, width * tiling.out}, options);
      }
      const auto weights =
          axis_weights(top, tiling.tile, height, tiling.out, options).unsqueeze(1) *
          axis_weights(left, tiling.tile, width, tiling.out, options).unsqueeze(0);
      part(part(sum, 2, top, height, tiling.out), 3, left, width, tiling.out)
          .add_(done.to(wide) * weights);
      part(part(total, 0, top, height, tiling.out), 1, left, width, tiling.out).add_(weights);
    }
  return (sum / total).to(x.scalar_type());
}

}  // namespace uvic::model
