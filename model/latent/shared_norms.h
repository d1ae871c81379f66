// Group norms that take the same statistics in every part of an image.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/torch.h"
#include "model/latent/tiles.h"

namespace uvic::model {

/// The mean and the mean square of each group of channels, [groups] float64.
struct GroupMoments {
  torch::Tensor mean, square;
};

/// The part of a tile that is measured, in shares of its sides, and its weight.
struct MeasuredPart {
  double top = 0, bottom = 1, left = 0, right = 1, weight = 1;
};

/// While one exists, the group norms of its thread take their statistics from here, in the order of
/// their calls: those that the last settle() left, or, before the first, their own.
class SharedNorms {
 public:
  SharedNorms();
  ~SharedNorms();
  SharedNorms(const SharedNorms&) = delete;
  SharedNorms& operator=(const SharedNorms&) = delete;
  static SharedNorms* active();  ///< of this thread; null: none

  /// Before each part of the image.
  void begin_pass(const MeasuredPart& part = {}) { next_ = 0, part_ = part; }
  /// From here on, norms take the weighted means over the passes since the last call.
  void settle();
  void stop_measuring() { measures_ = false; }

  /// The moments that the next norm takes, for x [1, C, H, W]; its own are computed in `dtype`.
  GroupMoments next(const torch::Tensor& x, int64_t groups, torch::Dtype dtype);

 private:
  SharedNorms* outer_;
  std::vector<GroupMoments> used_, sums_;
  size_t next_ = 0;
  MeasuredPart part_;
  double weight_ = 0;  ///< of all passes
  bool measures_ = true;
};

/// in_tiles() of layers with group norms, whose tiles share the statistics of the whole image, so
/// that they agree where they overlap.
///
/// The statistics begin as those of work() for x made as small as a tile, by nearest neighbours, with
/// the mean and the deviation of each channel that x has. Then all tiles are computed with them and
/// measured anew, each where no other tile is nearer, and again: in all three times the cost of the
/// tiles. So the result differs from that of the whole image by how far the statistics are from its
/// own, everywhere alike.
torch::Tensor in_sharing_tiles(const torch::Tensor& x,
                               const Tiling& tiling,
                               const std::function<torch::Tensor(const torch::Tensor&)>& work);

}  // namespace uvic::model
