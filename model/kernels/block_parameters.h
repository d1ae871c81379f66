// What fused blocks are made of, on the CPU and on a GPU.
#pragma once

#include <cstdint>

#include "base/torch.h"
#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {

/// The parameters of a block, float32, with the official names; weights are [out, in].
struct BlockParameters {
  torch::Tensor skip_weight, skip_bias;  ///< [D, 2 D], [D]; undefined without skip connection
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

}  // namespace uvic::model
