#include "model/attention/scores.h"

namespace uvic::model {

torch::Tensor softmax_weights(const AttentionInput& in) {
  return hide(attention_scores(in), in, kNoWeight).softmax(-1);
}

torch::Tensor softmax_attention(const AttentionInput& in) {
  return apply_weights(softmax_weights(in), in);
}

}  // namespace uvic::model
