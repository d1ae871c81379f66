#include "model/linear.h"

namespace uvic::model {

void trunc_normal_(torch::Tensor tensor, double std) {
  torch::NoGradGuard no_grad;
  // With std = 0.02 the bound is at 100 standard deviations, so clamping equals resampling.
  tensor.normal_(0, std).clamp_(-2, 2);
}

LinearImpl::LinearImpl(int64_t in_features, int64_t out_features, bool with_bias) {
  weight = register_parameter("weight", torch::empty({out_features, in_features}));
  trunc_normal_(weight, 0.02);
  if (with_bias) bias = register_parameter("bias", torch::zeros(out_features));
}

torch::Tensor LinearImpl::forward(const torch::Tensor& x) {
  const auto dtype = x.scalar_type();
  return torch::linear(x, weight.to(dtype), bias.defined() ? bias.to(dtype) : bias);
}

}  // namespace uvic::model
