// What fused blocks are made of, on the CPU and on a GPU.
#pragma once

#include <cstdint>

#include "base/torch.h"
#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {

/// The parameters of a block, float32, with the official names; weights are [out, in]. Norms without
/// a bias are RMSNorms. A SwiGLU's w12 and w3 are fc1, [2 hidden, D], and fc2.
struct BlockParameters {
  torch::Tensor skip_weight, skip_bias;  ///< [D, 2 D], [D]; undefined without skip connection
  torch::Tensor norm1_weight, norm1_bias;
  torch::Tensor qkv_weight, qkv_bias;  ///< the bias may be undefined
  torch::Tensor proj_weight, proj_bias;
  torch::Tensor norm2_weight, norm2_bias;
  torch::Tensor fc1_weight, fc1_bias;
  torch::Tensor fc2_weight, fc2_bias;
  torch::Tensor q_norm_weight{}, k_norm_weight{};  ///< [D / heads], or undefined: no norm of heads
  torch::Tensor cos{},
      sin{};  ///< of rotations, no parameters: [places, D / heads / 2] or undefined
};

struct BlockShape {
  int64_t heads = 1;
  double scale = 1;  ///< multiplies q k^T
  ScoreKind kind = ScoreKind::softmax;
  double norm_epsilon = 1e-5;
  bool swiglu = false;
  double head_norm_epsilon = 1e-6;
};

}  // namespace uvic::model
