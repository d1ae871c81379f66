// Bytes of images and the numbers that networks work on.
#pragma once

#include "base/torch.h"
namespace uvic::data {

/// uint8 pixels as a network takes them: float32 b / 127.5 - 1, in [-1, 1].
torch::Tensor to_network_range(const torch::Tensor& bytes);

/// The way back: clamp(0.5 (x + 1), 0, 1) * 255 + 0.5, truncated, as the official code writes
/// images. uint8 on the CPU.
torch::Tensor to_bytes(const torch::Tensor& x);

}  // namespace uvic::data
