#include "model/attention/scores.h"

namespace uvic::model {

torch::Tensor cog_attention(const AttentionInput& in) {
  const auto s = attention_scores(in);
  return apply_weights(s.sign() * s.abs().softmax(-1), in);
}

}  // namespace uvic::model
