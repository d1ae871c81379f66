// Images on their way to an extractor: of one size, or each of its own.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/torch.h"

namespace uvic::metrics {

/// Images in order. One of the two is set; neither: there are none.
struct ImageBatch {
  torch::Tensor same;               ///< uint8 [N, 3, H, W]: all of one size
  std::vector<torch::Tensor> each;  ///< uint8 [3, H, W]: of several sizes

  ImageBatch() = default;
  ImageBatch(torch::Tensor images) : same(std::move(images)) {}  // NOLINT: a batch of one size

  bool defined() const { return same.defined() || !each.empty(); }
  int64_t size() const { return same.defined() ? same.size(0) : static_cast<int64_t>(each.size()); }
};

/// Images [3, H, W] as a batch: in one tensor where all have one size.
ImageBatch batch_of(std::vector<torch::Tensor> images);

/// How many images have which width and height, px.
using SizeCounts = std::map<std::pair<int64_t, int64_t>, int64_t>;

void count_sizes(const ImageBatch& batch, SizeCounts& counts);

/// The side of all images where they are squares of one size, else 0.
int64_t common_side(const SizeCounts& counts);

/// "all 32 x 32 px", "3 sizes, 32 x 32 px (900 of 1000 images), 20 x 48 px, ...".
std::string sizes_text(const SizeCounts& counts);

}  // namespace uvic::metrics
