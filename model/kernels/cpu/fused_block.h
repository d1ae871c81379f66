// A whole transformer block on the CPU as one operation, its gradient written by hand.
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {

/// A block's parameters, float32, under the official names; weights [out, in].
struct BlockParameters {
  torch::Tensor skip_weight, skip_bias;  ///< [D, 2 D], [D]; undefined where the block takes no skip
  torch::Tensor norm1_weight, norm1_bias;
  torch::Tensor qkv_weight, qkv_bias;  ///< the bias may be undefined
  torch::Tensor proj_weight, proj_bias;
  torch::Tensor norm2_weight, norm2_bias;
  torch::Tensor fc1_weight, fc1_bias;
  torch::Tensor fc2_weight, fc2_bias;
};

struct BlockShape {
  int64_t heads = 1;
  double scale = 1;  ///< multiplies q k^T
  ScoreKind kind = ScoreKind::softmax;
  double norm_epsilon = 1e-5;
};

/// With a skip, x = [x, skip] skip_weight^T + skip_bias first; then x +=
/// proj(attention(qkv(norm1(x)))) and x += fc2(gelu(fc1(norm2(x)))).
///
/// x and skip [B, L, D], float32 on the CPU. The residual stream, statistics and sums stay float32;
/// products take `compute` (float32 or bf16) operands. Biases, residual sums, LayerNorm and GELU
/// cost one pass over memory each, forward and backward, and weight gradients leave the products as
/// float32. Returns [B, L, D] float32. Differentiable once. Throws std::invalid_argument if shapes,
/// dtypes or devices disagree.
torch::Tensor fused_block(const torch::Tensor& x,
                          const torch::Tensor& skip,
                          const BlockParameters& parameters,
                          const BlockShape& shape,
                          torch::Dtype compute);

/// Whether fused_block() takes such an x and such parameters: float32 on the CPU, and products in
/// float32 or bf16.
bool fused_block_serves(const torch::Tensor& x,
                        const torch::Tensor& parameter,
                        torch::Dtype compute);

}  // namespace uvic::model
