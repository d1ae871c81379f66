#include "model/attention/scores.h"

namespace uvic::model {

torch::Tensor cog_attention(const AttentionInput& in) {
  const auto s = attention_scores(in);
  return apply_weights(s.sign() * hide(s.abs(), in, kNoWeight).softmax(-1), in);
}

}  // namespace uvic::model
