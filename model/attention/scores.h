// Shared by the definitions: scores, and the precision of the weights.
#pragma once

#include <limits>

#include "base/torch.h"
#include "model/attention/attention.h"

namespace uvic::model {

/// s = scale q k^T, [B, H, L, S], in float32 or wider.
inline torch::Tensor attention_scores(const AttentionInput& in) {
  const auto s = in.q.matmul(in.k.transpose(-2, -1));
  const bool narrow = s.scalar_type() == torch::kBFloat16 || s.scalar_type() == torch::kHalf;
  return (narrow ? s.to(torch::kFloat32) : s) * in.scale;
}

/// True where query i may not see key j: [L, S], j > i + S - L. Undefined if the call is not
/// causal.
inline torch::Tensor hidden_keys(const AttentionInput& in) {
  if (!in.causal) return {};
  const int64_t queries = in.q.size(2), keys = in.k.size(2);
  return torch::ones({queries, keys}, in.q.options().dtype(torch::kBool)).triu(keys - queries + 1);
}

/// x [B, H, L, S] with `value` at hidden keys.
inline torch::Tensor hide(const torch::Tensor& x, const AttentionInput& in, double value) {
  return in.causal ? x.masked_fill(hidden_keys(in), value) : x;
}
constexpr double kNoWeight = -std::numeric_limits<double>::infinity();

/// weights [B, H, L, S] times v, in the dtype of v.
inline torch::Tensor apply_weights(const torch::Tensor& weights, const AttentionInput& in) {
  return weights.to(in.v.scalar_type()).matmul(in.v);  // [B, H, L, D]
}

/// The weights of each kind, [B, H, L, S] in float32 or wider: what AttentionKind::weights points
/// to.
torch::Tensor softmax_weights(const AttentionInput& in);
torch::Tensor cog_weights(const AttentionInput& in);
torch::Tensor expressive_weights(const AttentionInput& in);
torch::Tensor extensive_weights(const AttentionInput& in);
torch::Tensor elliptical_weights(const AttentionInput& in);
torch::Tensor factored_weights(const AttentionInput& in);
torch::Tensor softmax_one_weights(const AttentionInput& in);
torch::Tensor differential_weights(const AttentionInput& in);

/// The input of a softmax attention that equals elliptical attention: the queries are multiplied by
/// m. In a causal call m of a query is that of the tokens that it sees.
AttentionInput stretch_queries(const AttentionInput& in);

}  // namespace uvic::model
