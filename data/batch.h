// What a loader gives and a training step takes.
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "base/parallel.h"

namespace uvic::data {

struct Batch {
  torch::Tensor images;       ///< uint8 [B, 3, S, S], or moments of latents, float32 [B, 2 z, S, S]
  torch::Tensor labels;       ///< int64 [B], -1 where unlabelled
  torch::Tensor positions;    ///< int64 [B]: places in the endless sequence of training examples
  torch::Tensor contexts{};   ///< float32 [B, L, D] context features, or undefined
  torch::Tensor tokens{};     ///< int64 [B, L] of captions still to be encoded, or undefined
  torch::Tensor sequences{};  ///< int64 [B, L] of tokens instead of images, or undefined
  torch::Tensor targets{};    ///< int64 [B, L]: the token after each; negative: does not count

  int64_t size() const { return (images.defined() ? images : sequences).size(0); }
  /// Calls f(tensor) for each tensor, the undefined ones too.
  template <class F>
  Batch map(F&& f) const {
    return {f(images), f(labels), f(positions), f(contexts), f(tokens), f(sequences), f(targets)};
  }
  /// Examples begin .. end - 1, sharing memory.
  Batch slice(int64_t begin, int64_t end) const {
    return map([&](const torch::Tensor& t) { return base::slice_of(t, begin, end); });
  }
  Batch to(torch::Device device) const {
    return map([&](const torch::Tensor& t) {
      return t.defined() ? t.to(device, /*non_blocking=*/true) : t;
    });
  }
};

}  // namespace uvic::data
