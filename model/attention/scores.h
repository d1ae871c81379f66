// Shared by the definitions: scores, and the precision of the weights.
#pragma once

#include <torch/torch.h>

#include "model/attention/attention.h"

namespace uvic::model {

/// s = scale q k^T, [B, H, L, S], in float32 or wider.
inline torch::Tensor attention_scores(const AttentionInput& in) {
  const auto s = in.q.matmul(in.k.transpose(-2, -1));
  const bool narrow = s.scalar_type() == torch::kBFloat16 || s.scalar_type() == torch::kHalf;
  return (narrow ? s.to(torch::kFloat32) : s) * in.scale;
}

/// weights [B, H, L, S] times v, in the dtype of v.
inline torch::Tensor apply_weights(const torch::Tensor& weights, const AttentionInput& in) {
  return weights.to(in.v.scalar_type()).matmul(in.v);  // [B, H, L, D]
}

/// The input of a softmax attention that equals elliptical attention: the queries are multiplied by
/// m.
AttentionInput stretch_queries(const AttentionInput& in);

}  // namespace uvic::model
