// From tensors to what kernels take.
#pragma once

#include "base/torch.h"
#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {

/// Of float32 and bfloat16, the types that kernels know.
inline ElementType type_of(torch::Dtype dtype) {
  TORCH_INTERNAL_ASSERT(dtype == torch::kFloat32 || dtype == torch::kBFloat16);
  return dtype == torch::kBFloat16 ? ElementType::bf16 : ElementType::f32;
}

/// The elements of a float32 tensor; null: undefined.
inline const float* floats(const torch::Tensor& x) {
  return x.defined() ? x.data_ptr<float>() : nullptr;
}

}  // namespace uvic::model
