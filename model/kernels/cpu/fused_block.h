// A whole transformer block on the CPU as one operation, with a hand-written gradient.
#pragma once

#include <cstdint>

#include "base/torch.h"
#include "model/kernels/block_parameters.h"

namespace uvic::model {

/// With a skip connection, x = [x, skip] skip_weight^T + skip_bias first. Then
///   x += proj(attention(qkv(norm1(x))))
///   x += fc2(gelu(fc1(norm2(x))))
/// with RMSNorm, a SwiGLU, norms of queries and keys, and their rotation where the parameters and
/// the shape say so. Row r of [B L, ...] is turned by the place r % places.
///
/// x and skip are [B, L, D] float32 on the CPU. Returns [B, L, D] float32. The residual stream,
/// statistics and sums are float32. The operands of products have the dtype `compute` (float32 or
/// bf16). Biases, residual sums, norms and GELU take one pass over memory each, forward and
/// backward. The products write weight gradients as float32. Differentiable once. Throws
/// std::invalid_argument if shapes, dtypes or devices disagree.
torch::Tensor fused_block(const torch::Tensor& x,
                          const torch::Tensor& skip,
                          const BlockParameters& parameters,
                          const BlockShape& shape,
                          torch::Dtype compute);

/// Whether fused_block() supports this x and these parameters: float32 on the CPU, products in
/// float32 or bf16, and an even width of heads that are changed before attention.
bool fused_block_serves(const torch::Tensor& x,
                        const BlockParameters& parameters,
                        const BlockShape& shape,
                        torch::Dtype compute);

}  // namespace uvic::model
