// What a loader gives and a training step takes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/parallel.h"
#include "base/torch.h"

namespace uvic::data {

/// The place of the example that the one at `position` is contrasted with: 0 and 1, 2 and 3, ...
/// are pairs. Both are far apart in the set, whose order is a permutation.
inline int64_t other_position(int64_t position) { return position ^ 1; }
inline torch::Tensor other_position(const torch::Tensor& positions) {
  return positions.bitwise_xor(1);
}

struct Batch {
  torch::Tensor images;       ///< uint8 [B, 3, S, S], or moments of latents, float32 [B, 2 z, S, S]
  torch::Tensor labels;       ///< int64 [B], -1 where unlabelled
  torch::Tensor positions;    ///< int64 [B]: places in the infinite sequence of training examples
  torch::Tensor contexts{};   ///< float32 [B, L, D] context features, or undefined
  torch::Tensor tokens{};     ///< int64 [B, L] of captions still to be encoded, or undefined
  torch::Tensor sequences{};  ///< int64 [B, L] of tokens instead of images, or undefined
  torch::Tensor targets{};    ///< int64 [B, L]: the token after each; negative: does not count
  torch::Tensor other_images{};  ///< of the example at position other_position(), like images
  torch::Tensor other_labels{};  ///< int64 [B]; both undefined unless asked for
  torch::Tensor
      augments{};  ///< float32 [B, kAugmentNumbers]: how images were changed; or undefined
  int64_t first_position = -1;  ///< positions[0] of a batch on a GPU, for the host; -1: not said

  int64_t size() const { return (images.defined() ? images : sequences).size(0); }
  /// Calls f(tensor) for each tensor, the undefined ones too.
  template <class F>
  Batch map(F&& f) const {
    return {f(images),
            f(labels),
            f(positions),
            f(contexts),
            f(tokens),
            f(sequences),
            f(targets),
            f(other_images),
            f(other_labels),
            f(augments),
            first_position};
  }
  /// positions[0], without a wait for a GPU where the batch says it.
  int64_t first() const {
    if (first_position >= 0 || !positions.defined() || positions.size(0) == 0)
      return std::max<int64_t>(0, first_position);
    return positions[0].item<int64_t>();
  }
  /// Examples begin .. end - 1, sharing memory.
  Batch slice(int64_t begin, int64_t end) const {
    auto part = map([&](const torch::Tensor& t) { return base::slice_of(t, begin, end); });
    if (first_position >= 0) part.first_position += begin;
    return part;
  }
  Batch to(torch::Device device) const {
    auto moved = map([&](const torch::Tensor& t) {
      return t.defined() ? t.to(device, /*non_blocking=*/true) : t;
    });
    if (!device.is_cpu()) moved.first_position = first();
    return moved;
  }
};

}  // namespace uvic::data
