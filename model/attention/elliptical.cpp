#include "model/attention/scores.h"

namespace uvic::model {
namespace {

/// m [B, H, 1, D]: the mean change of each coordinate of the values since the block before, divided
/// by the largest.
torch::Tensor coordinate_relevance(const torch::Tensor& v, const torch::Tensor& v_previous) {
  torch::NoGradGuard no_grad;
  const auto wide = v.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const auto d = (v.to(wide) - v_previous.to(wide)).abs().mean(-2, true);  // [B, H, 1, D]
  const auto largest = d.amax(-1, true);                                   // [B, H, 1, 1]
  return torch::where(largest > 0, d / largest, torch::ones_like(d));
}

}  // namespace

AttentionInput stretch_queries(const AttentionInput& in) {
  if (!in.v_previous.defined()) return in;
  AttentionInput stretched = in;
  stretched.q = in.q * coordinate_relevance(in.v, in.v_previous).to(in.q.scalar_type());
  return stretched;
}

torch::Tensor elliptical_attention(const AttentionInput& in) {
  return softmax_attention(stretch_queries(in));
}

}  // namespace uvic::model
