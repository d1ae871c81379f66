// A whole transformer block on a GPU as one operation, with a hand-written gradient. Built with
// block_cuda_binding.cpp if LibTorch has CUDA and nvcc is available, otherwise with
// attention_no_cuda.cpp.
#pragma once

#include "base/torch.h"
#include "model/kernels/block_parameters.h"

namespace uvic::model {

/// fused_block() (cpu/fused_block.h) on the GPU, on the current stream: x and skip [B, L, D]
/// float32 -> [B, L, D] float32. Products are cuBLAS's in bf16. Attention, and the passes over rows
/// between the products (row_cuda.h), are our kernels. Differentiable once.
torch::Tensor cuda_block(const torch::Tensor& x,
                         const torch::Tensor& skip,
                         const BlockParameters& parameters,
                         const BlockShape& shape);

/// Whether cuda_block() supports this x and these parameters: float32 on a CUDA device of compute
/// capability 8.0 or more, products in bf16, a width up to 1152 and a head width up to 128, both
/// multiples of 8. False in a build without the kernels.
bool cuda_block_serves(const torch::Tensor& x,
                       const torch::Tensor& parameter,
                       const BlockShape& shape,
                       torch::Dtype compute);

}  // namespace uvic::model
