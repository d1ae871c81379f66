// What a loader gives and a training step takes.
#pragma once

#include <torch/torch.h>

#include <cstdint>

namespace uvic::data {

struct Batch {
  torch::Tensor images;     ///< uint8 [B, 3, S, S]
  torch::Tensor labels;     ///< int64 [B], -1 where unlabelled
  torch::Tensor positions;  ///< int64 [B]: places in the endless sequence of training examples

  int64_t size() const { return images.size(0); }
  /// Examples begin .. end - 1, sharing memory.
  Batch slice(int64_t begin, int64_t end) const {
    return {
        images.slice(0, begin, end), labels.slice(0, begin, end), positions.slice(0, begin, end)};
  }
  Batch to(torch::Device device) const {
    return {images.to(device, /*non_blocking=*/true),
            labels.to(device, /*non_blocking=*/true),
            positions.to(device, /*non_blocking=*/true)};
  }
};

}  // namespace uvic::data
