// Rotary position embedding: queries and keys turned by angles that depend on their places.
#pragma once

#include <cstdint>

#include "base/torch.h"

namespace uvic::model {

/// Cosine and sine of every place and frequency, each [places, width / 2], or [B, 1, places,
/// width / 2] where the places differ between examples.
struct Rotations {
  torch::Tensor cos, sin;
  bool defined() const { return cos.defined(); }
  Rotations slice(int64_t begin, int64_t end) const {
    return {cos.slice(0, begin, end), sin.slice(0, begin, end)};
  }
};

/// x [B, H, L, D] with the pairs (d, d + D / 2) rotated, as Llama's code does. Source: Su et al.
/// 2021, arXiv:2104.09864.
torch::Tensor rotate(const torch::Tensor& x, const Rotations& rotations);

/// The same for each of `parts` equal parts of the width by itself; rotations are of width D /
/// parts.
torch::Tensor rotate_parts(const torch::Tensor& x, const Rotations& rotations, int64_t parts);

/// The rotations of a side x side grid of tokens in rows, after `extras` tokens that stay as they
/// are, for heads of `width`, a multiple of 4; float32.
///
/// Of the width / 2 angles of a token in row i and column j, the first half is i f_n and the second
/// half j f_n, f_n = theta^(-n / (width / 4)). A score then depends on the differences of rows and
/// of columns alone. Source: Heo et al. 2024, arXiv:2403.13298 (axial, theta 100).
Rotations grid_rotations(int64_t side, int64_t extras, int64_t width, double theta);

/// Rotations [..., K, width / 2] with `count` tokens before them that are not turned.
Rotations with_still_tokens(const Rotations& all, int64_t count);
/// Those without the first `count` tokens.
Rotations without_first_tokens(const Rotations& all, int64_t count);

}  // namespace uvic::model
