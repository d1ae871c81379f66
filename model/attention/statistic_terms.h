// What statistics of attention share: means over what is defined, and entropies.
#pragma once

#include <limits>

#include "base/torch.h"

namespace uvic::model {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

/// What statistics are computed in.
inline torch::Dtype wide_of(const torch::Tensor& x) {
  return x.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
}

/// a / b, NaN where b is 0.
inline torch::Tensor ratio(const torch::Tensor& a, const torch::Tensor& b) {
  return torch::where(b > 0, a / b, torch::full_like(b, kUndefined));
}

/// The mean over the last dimension of the values that are no NaN; NaN where all are.
inline torch::Tensor mean_of_defined(const torch::Tensor& x) {
  const auto defined = x.isnan().logical_not();
  return ratio(torch::where(defined, x, torch::zeros_like(x)).sum(-1),
               defined.sum(-1).to(x.dtype()));
}

/// How many keys each query of w [B, H, L, S] sees: [L], in the dtype of w.
inline torch::Tensor visible_keys(const torch::Tensor& w, bool causal) {
  const int64_t queries = w.size(2), keys = w.size(3);
  return causal ? torch::arange(keys - queries + 1, keys + 1, w.options())
                : torch::full({queries}, static_cast<double>(keys), w.options());
}

/// -sum p ln p over the last dimension, nats.
inline torch::Tensor entropy_of(const torch::Tensor& p) {
  return -(p * p.clamp_min(std::numeric_limits<float>::min()).log()).sum(-1);
}

}  // namespace uvic::model
