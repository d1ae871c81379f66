#include "model/attention/composed.h"
#include "model/attention/scores.h"

namespace uvic::model {
namespace {

/// The call with a key and a value 0 before the others. It is before them because a causal query
/// sees all keys up to its own.
AttentionInput with_zero_key(const AttentionInput& in) {
  AttentionInput out = in;
  out.k = torch::constant_pad_nd(in.k, {0, 0, 1, 0});
  out.v = torch::constant_pad_nd(in.v, {0, 0, 1, 0});
  out.v_previous = torch::Tensor();
  return out;
}

}  // namespace

torch::Tensor softmax_one_weights(const AttentionInput& in) {
  const auto s = hide(attention_scores(in), in, kNoWeight);
  const auto zero = torch::zeros_like(s.narrow(-1, 0, 1));
  return torch::cat({zero, s}, -1).softmax(-1).slice(-1, 1);
}

torch::Tensor softmax_one_attention(const AttentionInput& in) {
  return apply_weights(softmax_one_weights(in), in);
}

torch::Tensor composed_softmax_one(const AttentionInput& in) {
  return attention(attention_kind("softmax"), with_zero_key(in));
}

}  // namespace uvic::model
