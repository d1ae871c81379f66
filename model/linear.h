// The linear layer of every network here.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "base/torch.h"

namespace uvic::model {

/// y = x W^T + b. The product runs in the dtype of x, for every dtype of the parameters.
class LinearImpl : public torch::nn::Module {
 public:
  LinearImpl(int64_t in_features, int64_t out_features, bool bias = true);
  torch::Tensor forward(const torch::Tensor& x);  ///< [..., in] -> [..., out]

  torch::Tensor weight;  ///< [out, in], truncated normal, std 0.02
  torch::Tensor bias;    ///< [out], zero; undefined where there is none
};
TORCH_MODULE(Linear);

/// Fills `tensor` from N(0, std^2), truncated to [-2, 2], as the official code does.
void trunc_normal_(torch::Tensor tensor, double std);

}  // namespace uvic::model
