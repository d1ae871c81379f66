#include "base/check.h"
#include "base/tensor_text.h"
#include "model/attention/composed.h"
#include "model/attention/scores.h"

namespace uvic::model {
namespace {

torch::Tensor with_gate(const torch::Tensor& out, const AttentionInput& in) {
  base::require(in.gate.defined() && in.gate.sizes() == in.q.sizes(),
                "attention: gate {}, wanted the shape {} of q",
                base::shape_text(in.gate),
                base::shape_text(in.q));
  return out * in.gate.sigmoid();
}

}  // namespace

torch::Tensor gated_attention(const AttentionInput& in) {
  return with_gate(softmax_attention(in), in);
}

torch::Tensor composed_gated(const AttentionInput& in) {
  return with_gate(attention(attention_kind("softmax"), in), in);
}

}  // namespace uvic::model
