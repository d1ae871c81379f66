#include <limits>

#include "model/attention/scores.h"

namespace uvic::model {
namespace {

/// u = s^2 / (1 + s^2), 0 at hidden keys.
torch::Tensor unnormalised(const AttentionInput& in) {
  // From |s| = 1e9 on, s^2 / (1 + s^2) equals 1 in float64. The bound keeps s^2 finite.
  const auto s2 = attention_scores(in).clamp(-1e9, 1e9).square();  // [B, H, L, S]
  return hide(s2 / (1 + s2), in, 0);
}

}  // namespace

torch::Tensor expressive_weights(const AttentionInput& in) {
  const auto u = unnormalised(in);
  return u / u.sum(-1, true).clamp_min(std::numeric_limits<float>::min());
}

torch::Tensor extensive_weights(const AttentionInput& in) { return unnormalised(in); }

torch::Tensor expressive_attention(const AttentionInput& in) {
  return apply_weights(expressive_weights(in), in);
}

torch::Tensor extensive_attention(const AttentionInput& in) {
  return apply_weights(extensive_weights(in), in);
}

}  // namespace uvic::model
