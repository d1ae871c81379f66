#include "model/latent/shared_norms.h"

#include <algorithm>
#include <cmath>

namespace uvic::model {
namespace {

thread_local SharedNorms* t_active = nullptr;

constexpr double kLeastDeviation = 1e-12;
constexpr int kRounds =
    2;  // each makes the statistics of one more norm exact, and all others better

/// Rows or columns of x within a part of its sides.
torch::Tensor within(const torch::Tensor& x, int64_t dim, double begin, double end) {
  const auto size = static_cast<double>(x.size(dim));
  const int64_t first = std::llround(begin * size);
  return x.slice(dim, first, std::max<int64_t>(first + 1, std::llround(end * size)));
}

GroupMoments moments_of(const torch::Tensor& x,
                        int64_t groups,
                        torch::Dtype dtype,
                        const MeasuredPart& part) {
  const auto seen = within(within(x, 2, part.top, part.bottom), 3, part.left, part.right);
  const auto of_group = seen.to(dtype).unflatten(1, {groups, x.size(1) / groups});
  const auto mean = of_group.mean({0, 2, 3, 4}).to(torch::kFloat64);
  const auto variance = of_group.var(torch::IntArrayRef{0, 2, 3, 4}, /*unbiased=*/false);
  return {mean, variance.to(torch::kFloat64) + mean.square()};
}

/// A tile's own stretch of an axis, up to the middle of its overlaps, from the tile's begin.
struct Stretch {
  int64_t begin;  ///< of the tile
  double from, to;
};
std::vector<Stretch> stretches(int64_t length, int64_t tile) {
  const auto begins = tile_begins(length, tile);
  const int64_t size = std::min(tile, length);
  std::vector<Stretch> result;
  for (size_t i = 0; i < begins.size(); ++i) {
    const auto middle = [&](size_t j) {  // of the overlap of tiles j and j + 1
      const int64_t place = (begins[j + 1] + begins[j] + size) / 2;
      return static_cast<double>(place);
    };
    const auto begin = static_cast<double>(begins[i]);
    result.push_back({begins[i],
                      i == 0 ? 0 : middle(i - 1) - begin,
                      i + 1 == begins.size() ? static_cast<double>(size) : middle(i) - begin});
  }
  return result;
}

/// Places 0 .. length - 1 in equal steps, `count` of them.
torch::Tensor places(int64_t length, int64_t count, torch::Device device) {
  const auto middle = (torch::arange(count, torch::kFloat64) + 0.5) * static_cast<double>(length) /
                      static_cast<double>(count);
  return middle.floor().to(torch::kInt64).to(device);
}

/// x [1, C, H, W] with sides of at most `side`, and the mean and deviation of each channel.
torch::Tensor thumbnail(const torch::Tensor& x, int64_t side) {
  const auto small = x.index_select(2, places(x.size(2), std::min(side, x.size(2)), x.device()))
                         .index_select(3, places(x.size(3), std::min(side, x.size(3)), x.device()));
  const auto wide = x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const auto from = small.to(wide), like = x.to(wide);
  const auto deviation = [](const torch::Tensor& t) {
    return (t - t.mean({2, 3}, true)).square().mean({2, 3}, true).sqrt();  // [1, C, 1, 1]
  };
  const auto factor = deviation(like) / deviation(from).clamp_min(kLeastDeviation);
  return ((from - from.mean({2, 3}, true)) * factor + like.mean({2, 3}, true)).to(x.scalar_type());
}

}  // namespace

SharedNorms::SharedNorms() : outer_(t_active) { t_active = this; }
SharedNorms::~SharedNorms() { t_active = outer_; }
SharedNorms* SharedNorms::active() { return t_active; }

void SharedNorms::settle() {
  used_ = std::move(sums_);
  sums_.clear();
  for (auto& moments : used_) moments.mean.div_(weight_), moments.square.div_(weight_);
  weight_ = 0;
}

GroupMoments SharedNorms::next(const torch::Tensor& x, int64_t groups, torch::Dtype dtype) {
  const size_t at = next_++;
  if (!measures_) return used_.at(at);
  const auto own = moments_of(x, groups, dtype, part_);
  if (at == 0) weight_ += part_.weight;
  if (at == sums_.size())
    sums_.push_back({own.mean * part_.weight, own.square * part_.weight});
  else
    sums_[at].mean.add_(own.mean, part_.weight), sums_[at].square.add_(own.square, part_.weight);
  return used_.empty() ? own : used_.at(at);
}

torch::Tensor in_sharing_tiles(const torch::Tensor& x,
                               const Tiling& tiling,
                               const std::function<torch::Tensor(const torch::Tensor&)>& work) {
  const int64_t side = tiling.tile * tiling.in;
  if (tiling.tile <= 0 || (x.size(2) <= side && x.size(3) <= side)) return work(x);
  SharedNorms norms;
  const auto shared = [&](const torch::Tensor& part) {
    norms.begin_pass();
    return work(part);
  };
  shared(thumbnail(x, side));
  norms.settle();
  const int64_t height = x.size(2) / tiling.in, width = x.size(3) / tiling.in;
  const auto rows = static_cast<double>(std::min(tiling.tile, height)),
             columns = static_cast<double>(std::min(tiling.tile, width));
  for (int round = 0; round < kRounds; ++round) {
    for (const auto& [top, above, below] : stretches(height, tiling.tile))
      for (const auto& [left, before, after] : stretches(width, tiling.tile)) {
        norms.begin_pass({above / rows,
                          below / rows,
                          before / columns,
                          after / columns,
                          (below - above) * (after - before)});
        work(x.narrow(2, top * tiling.in, std::min(side, x.size(2)))
                 .narrow(3, left * tiling.in, std::min(side, x.size(3))));
      }
    norms.settle();
  }
  norms.stop_measuring();
  return in_tiles(x, tiling, shared);
}

}  // namespace uvic::model
