// Fused attention on the CPU: softmax and Cog, forward and backward, without a queries x keys
// matrix in memory.
#pragma once

#include "base/torch.h"
#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {

/// out = w v, with s = scale q k^T and w = softmax(s), or sign(s) * softmax(|s|) for
/// ScoreKind::cog.
///
/// q [B, H, L, D], k and v [B, H, S, D], float32 or bf16 on the CPU, any strides, any width D and
/// any lengths. Returns [B, H, L, D], in memory [B, L, H, D], so that transpose(1, 2).flatten(2)
/// copies nothing. Memory is linear in L and S.
///
/// Scores, sums of weights and results are summed in float32. With bf16 input and the avx512_bf16
/// kernels, the weights are rounded to bf16 before the product with v; otherwise not. The bits of
/// the result of an image depend neither on its batch nor on the number of threads.
///
/// Differentiable once. The backward pass recomputes the scores from row statistics, with
/// P = softmax(|s|) and g = grad_out v^T:
///   ds = P * (g - sign(s) * rowsum(grad_out * out)), 0 where s is 0
///
/// causal: query i sees keys 0 .. S - L + i only, and S >= L. The mask precedes the softmax (of |s|
/// for Cog). Tiles that no query sees are not computed, about half of them at L = S.
///
/// Throws std::invalid_argument if shapes, dtypes or devices disagree or are not supported.
torch::Tensor fused_attention(ScoreKind kind,
                              const torch::Tensor& q,
                              const torch::Tensor& k,
                              const torch::Tensor& v,
                              double scale,
                              bool causal = false);

/// The same in the memory layout of the projections before and after it: qkv [B, L, 3 * H * D] in
/// the order (K H D) -> [B, L, H * D]. The gradient is one tensor in the shape of qkv.
torch::Tensor fused_attention(ScoreKind kind,
                              const torch::Tensor& qkv,
                              int64_t heads,
                              double scale);

/// Results of the forward pass that the backward pass reads.
struct AttendedRows {
  torch::Tensor out;        ///< [B, L, H * D]
  torch::Tensor row_stats;  ///< [B, H, L, 2] float32, see AttentionCall
};

/// The packed form, for code with hand-written gradients. Neither function records a graph or
/// checks its input.
AttendedRows attention_rows(ScoreKind kind, const torch::Tensor& qkv, int64_t heads, double scale);
torch::Tensor attention_rows_grad(ScoreKind kind,
                                  const torch::Tensor& qkv,
                                  int64_t heads,
                                  double scale,
                                  const AttendedRows& attended,
                                  const torch::Tensor& grad_out);

/// Whether the functions above support tensors like `x`: float32 or bf16, on the CPU.
bool fused_attention_serves(const torch::Tensor& x);

}  // namespace uvic::model
