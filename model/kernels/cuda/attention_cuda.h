// Fused attention on CUDA GPUs, softmax and Cog, forward and backward: pointers, strides and a
// stream. No LibTorch here; attention_cuda_binding.cpp brings the two together.
#pragma once

#include <stdint.h>

#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model::cuda {

enum class HalfType : int { bf16, fp16 };

/// out = w v for each image and head; s = scale q k^T, w = softmax(s), or sign(s) * softmax(|s|)
/// for ScoreKind::cog, whose sign(0) is 0 while e^0 stays in the denominator.
///
/// All elements are 16 bits wide, products and sums run in float32; weights are rounded to 16 bits
/// before they meet v. Rows lie anywhere: a packed qkv is three views into one tensor. Pointers are
/// multiples of 16 bytes, strides multiples of 8 elements (served() says). Nothing synchronises
/// with the host and no memory is taken, so that every call can be captured in a graph. Results
/// depend on neither batch nor heads, bit for bit, and there is no atomic operation: the same input
/// gives the same bits.
struct AttentionForward {
  ScoreKind kind;
  HalfType type;
  int64_t batch, heads, queries, keys, width;
  float scale;  ///< above 0
  TokenRows<const void> q, k, v;
  TokenRows<void> out;
  float* row_stats;  ///< [batch, heads, queries, 2] or null: m = the largest |q k^T| of a row
                     ///< (softmax: q k^T), and log2 of the sum of e^(scale (|q k^T| - m))
};

/// The gradients of the same call; `out` and `row_stats` are what the forward pass wrote.
///
/// With P = softmax(|s|), g = grad_out v^T: ds = P (g - sign(s) rowsum(grad_out * out)), 0 where s
/// is 0; grad_q = scale ds k, grad_k = scale ds^T q, grad_v = (sign(s) P)^T grad_out.
struct AttentionBackward {
  AttentionForward forward;
  TokenRows<const void> grad_out;
  TokenRows<void> grad_q, grad_k, grad_v;
  float* row_facts;  ///< scratch, [batch, heads, queries, 4], a multiple of 16 bytes
};

/// Why the kernels do not take this call, or null where they do.
const char* refusal(const AttentionForward& call);
const char* refusal(const AttentionBackward& call);

/// Put the work on `stream`, a cudaStream_t. Throw std::invalid_argument on a call that is refused,
/// std::runtime_error where CUDA reports an error.
void attention_forward(const AttentionForward& call, void* stream);
void attention_backward(const AttentionBackward& call, void* stream);

}  // namespace uvic::model::cuda
