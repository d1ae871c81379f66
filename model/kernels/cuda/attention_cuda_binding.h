// The CUDA attention kernels as tensor functions. Built with attention_cuda_binding.cpp if LibTorch
// has CUDA and nvcc is available, otherwise with attention_no_cuda.cpp.
#pragma once

#include "base/torch.h"
#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {

/// Whether cuda_attention() supports tensors like `x` with heads of this width: bf16 or fp16 on a
/// CUDA device of compute capability 8.0 or more, a width that is a multiple of 8 up to 128, and a
/// scale above 0. False in a build without the kernels.
bool cuda_attention_serves(const torch::Tensor& x, int64_t width, double scale);

/// fused_attention() (attention_kernels.h) on the GPU, on the current stream: q [B, H, L, D], k and
/// v [B, H, S, D] -> [B, H, L, D], in memory [B, L, H, D]. Weights are rounded to the 16-bit dtype
/// of the input before the product with v. Sums are float32. Forward and backward give the same
/// bits every time. Differentiable once.
///
/// causal: query i sees keys 0 .. S - L + i only, and S >= L. The mask precedes the softmax (of |s|
/// for Cog). Tiles that no query sees are neither read nor computed, about half of them at L = S.
torch::Tensor cuda_attention(ScoreKind kind,
                             const torch::Tensor& q,
                             const torch::Tensor& k,
                             const torch::Tensor& v,
                             double scale,
                             bool causal = false);

/// The packed form: qkv [B, L, 3 H D] in the order (K H D) -> [B, L, H D].
torch::Tensor cuda_attention(ScoreKind kind, const torch::Tensor& qkv, int64_t heads, double scale);

/// The two passes of the packed form alone, outside autograd.
struct CudaAttended {
  torch::Tensor out;        ///< [B, L, H D]
  torch::Tensor row_stats;  ///< what the backward pass reads, [B, H, L, 2] float32
};
CudaAttended cuda_attention_rows(ScoreKind kind,
                                 const torch::Tensor& qkv,
                                 int64_t heads,
                                 double scale);
/// The gradient of qkv.
torch::Tensor cuda_attention_rows_grad(ScoreKind kind,
                                       const torch::Tensor& qkv,
                                       int64_t heads,
                                       double scale,
                                       const CudaAttended& attended,
                                       const torch::Tensor& grad_out);

}  // namespace uvic::model
