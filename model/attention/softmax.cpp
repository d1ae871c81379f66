#include "model/attention/scores.h"

namespace uvic::model {

torch::Tensor softmax_attention(const AttentionInput& in) {
  return apply_weights(hide(attention_scores(in), in, kNoWeight).softmax(-1), in);
}

}  // namespace uvic::model
