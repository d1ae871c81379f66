#include "model/attention/scores.h"

namespace uvic::model {

torch::Tensor cog_weights(const AttentionInput& in) {
  const auto s = attention_scores(in);
  return s.sign() * hide(s.abs(), in, kNoWeight).softmax(-1);
}

torch::Tensor cog_attention(const AttentionInput& in) { return apply_weights(cog_weights(in), in); }

}  // namespace uvic::model
