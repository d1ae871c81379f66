// Fused attention on CUDA GPUs, softmax and Cog, forward and backward, in terms of pointers,
// strides and a stream, without LibTorch. attention_cuda_binding.cpp is the binding to tensors.
#pragma once

#include <stdint.h>

#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model::cuda {

enum class HalfType : int { bf16, fp16 };

/// out = w v for each image and head; s = scale q k^T, w = softmax(s), or sign(s) * softmax(|s|)
/// for ScoreKind::cog, where sign(0) = 0 and the denominator contains e^0. Causal: the mask precedes
/// the softmax (of |s|), and tiles that no query sees are neither read nor computed.
///
/// All elements have 16 bits. Products and sums are in float32. Weights are rounded to 16 bits
/// before the product with v. Rows can have any stride: a packed qkv is three views of one tensor.
/// Pointers are multiples of 16 bytes, strides multiples of 8 elements; see served(). A call does
/// not synchronise with the host and allocates no memory, so it can be captured in a graph. There
/// are no atomic operations: the same input gives the same bits, for every batch size and number of
/// heads.
struct AttentionForward {
  ScoreKind kind;
  HalfType type;
  int64_t batch, heads, queries, keys, width;
  float scale;  ///< above 0
  bool causal;  ///< query i sees keys 0 .. keys - queries + i only; keys >= queries
  TokenRows<const void> q, k, v;
  TokenRows<void> out;
  float* row_stats;    ///< [batch, heads, queries, 2] or null: m = the largest |q k^T| of a row
                       ///< (softmax: q k^T), and log2 of the sum of e^(scale (|q k^T| - m))
  int64_t owned_from;  ///< 0; inside a call: the first row that is left to these kernels
};

/// The gradients of the same call; `out` and `row_stats` are results of the forward pass.
///
/// With P = softmax(|s|), g = grad_out v^T: ds = P (g - sign(s) rowsum(grad_out * out)), 0 where s
/// is 0; grad_q = scale ds k, grad_k = scale ds^T q, grad_v = (sign(s) P)^T grad_out.
struct AttentionBackward {
  AttentionForward forward;
  TokenRows<const void> grad_out;
  TokenRows<void> grad_q, grad_k, grad_v;
  float* row_facts;  ///< scratch, [batch, heads, queries, 4], a multiple of 16 bytes
};

/// Which kernels serve a call. automatic: those for compute capability 9.0
/// (attention_hopper_tiles.cuh), where the device has it and the head is 40 to 64 wide, else those
/// for 8.0. In the emulation, those for 8.0.
enum class KernelFamily : int { automatic, ampere, hopper };
/// For tests and measurements; holds for all later calls of the process.
void choose_kernels(KernelFamily family);

/// The reason why the kernels do not support this call, or null if they do.
const char* refusal(const AttentionForward& call);
const char* refusal(const AttentionBackward& call);

/// Launch the kernels on `stream`, a cudaStream_t. Throw std::invalid_argument for a call that is
/// not supported, std::runtime_error if CUDA reports an error.
void attention_forward(const AttentionForward& call, void* stream);
void attention_backward(const AttentionBackward& call, void* stream);

}  // namespace uvic::model::cuda
