#include "model/attention/composed.h"
#include "model/attention/scores.h"

namespace uvic::model {
namespace {

/// m [B, H, 1, D]: the mean change of each coordinate of the values since the block before, divided
/// by the largest. Causal: [B, H, L, D], the mean over the tokens that each query sees.
torch::Tensor coordinate_relevance(const AttentionInput& in) {
  torch::NoGradGuard no_grad;
  const auto wide = in.v.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const auto change = (in.v.to(wide) - in.v_previous.to(wide)).abs();  // [B, H, S, D]
  const int64_t keys = in.k.size(2), queries = in.q.size(2);
  const auto d =
      in.causal ? (change.cumsum(-2) / torch::arange(1, keys + 1, change.options()).unsqueeze(1))
                      .slice(-2, keys - queries)
                : change.mean(-2, true);  // [B, H, 1 or L, D]
  const auto largest = d.amax(-1, true);  // [B, H, 1 or L, 1]
  return torch::where(largest > 0, d / largest, torch::ones_like(d));
}

}  // namespace

AttentionInput stretch_queries(const AttentionInput& in) {
  if (!in.v_previous.defined()) return in;
  AttentionInput stretched = in;
  stretched.q = in.q * coordinate_relevance(in).to(in.q.scalar_type());
  return stretched;
}

torch::Tensor composed_elliptical(const AttentionInput& in) {
  return attention(attention_kind("softmax"), stretch_queries(in));
}

torch::Tensor elliptical_weights(const AttentionInput& in) {
  return softmax_weights(stretch_queries(in));
}

torch::Tensor elliptical_attention(const AttentionInput& in) {
  return softmax_attention(stretch_queries(in));
}

}  // namespace uvic::model
