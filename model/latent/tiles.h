// A function of images whose parts near by depend on each other, computed in overlapping tiles.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/torch.h"

namespace uvic::model {

/// Sides are counted in latents; an element of x is 1 / `in` of one, of the result 1 / `out`.
struct Tiling {
  int64_t tile = 0;  ///< side of a tile; 0: all at once
  int64_t in = 1, out = 1;
};

/// Where tiles of length `tile` begin on an axis of `length`: evenly, the last at its end, with an
/// overlap of tile / 4 at least (one latent at least).
std::vector<int64_t> tile_begins(int64_t length, int64_t tile);

/// work(x) for x [1, C, H, W], or, where a side is longer than the tile, work() of tiles, blended.
///
/// Each tile has a weight that rises from 0 to 1 over the inner half of the overlap and is 0
/// outside it, where a tile's own border is near. The result is the weighted mean, so it has no
/// edge where a tile ends. At the border of the image weights are 1.
torch::Tensor in_tiles(const torch::Tensor& x,
                       const Tiling& tiling,
                       const std::function<torch::Tensor(const torch::Tensor&)>& work);

}  // namespace uvic::model
