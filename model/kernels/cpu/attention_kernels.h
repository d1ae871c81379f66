// Fused attention on the CPU: softmax and Cog, forward and backward, without a matrix of queries by
// keys.
#pragma once

#include <torch/torch.h>

#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {

/// out = w v, with s = scale q k^T and w = softmax(s), or sign(s) * softmax(|s|) for
/// ScoreKind::cog.
///
/// q [B, H, L, D], k and v [B, H, S, D], float32 or bf16 on the CPU, any strides, any width D and
/// any lengths. Returns [B, H, L, D], in memory [B, L, H, D]: transpose(1, 2).flatten(2) is free.
/// Scores, weights' sums and results are summed in float32; with bf16 input and the avx512_bf16
/// kernels weights are rounded to bf16 before they meet v, and elsewhere not. Memory is linear in L
/// and S. An image's result depends neither on its batch nor on the number of threads, bit for bit.
/// Differentiable once, by recomputing the scores from row statistics: with P = softmax(|s|) and g
/// = grad_out v^T, ds = P * (g - sign(s) * rowsum(grad_out * out)), 0 where s is 0. Throws
/// std::invalid_argument if shapes, dtypes or devices disagree or are not served.
torch::Tensor fused_attention(ScoreKind kind,
                              const torch::Tensor& q,
                              const torch::Tensor& k,
                              const torch::Tensor& v,
                              double scale);

/// The same, reading q, k and v where the projection left them and writing what the next product
/// reads: qkv [B, L, 3 * H * D], in the order (K H D) -> [B, L, H * D]. The gradient comes as one
/// tensor of qkv's shape.
torch::Tensor fused_attention(ScoreKind kind,
                              const torch::Tensor& qkv,
                              int64_t heads,
                              double scale);

/// What the backward pass wants to know of the forward pass.
struct AttendedRows {
  torch::Tensor out;        ///< [B, L, H * D]
  torch::Tensor row_stats;  ///< [B, H, L, 2] float32, as AttentionCall says
};

/// The packed form for code that writes its gradients by hand: neither function records a graph or
/// checks its input.
AttendedRows attention_rows(ScoreKind kind, const torch::Tensor& qkv, int64_t heads, double scale);
torch::Tensor attention_rows_grad(ScoreKind kind,
                                  const torch::Tensor& qkv,
                                  int64_t heads,
                                  double scale,
                                  const AttendedRows& attended,
                                  const torch::Tensor& grad_out);

/// Whether the functions above take tensors like `x`: float32 or bf16, on the CPU.
bool fused_attention_serves(const torch::Tensor& x);

}  // namespace uvic::model
