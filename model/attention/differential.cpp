#include <cmath>

#include "base/check.h"
#include "model/attention/composed.h"
#include "model/attention/scores.h"

namespace uvic::model {
namespace {

constexpr double kSublayerEpsilon = 1e-5;

double initial_lambda(const AttentionInput& in) {
  return 0.8 - 0.6 * std::exp(-0.3 * static_cast<double>(in.layer));
}

/// attend(first half) - lambda attend(second half), in float32 or wider.
template <class Attend>
torch::Tensor difference_of_halves(const AttentionInput& in, Attend&& attend) {
  const int64_t width = in.q.size(3), half = width / 2;
  base::require(width % 2 == 0, "attention: differential needs an even head width, not {}", width);
  const auto& p = in.parameters;
  const auto part = [&](int64_t begin) {
    AttentionInput call = in;
    call.q = in.q.slice(-1, begin, begin + half);
    call.k = in.k.slice(-1, begin, begin + half);
    call.scale = in.scale * std::sqrt(2.0);
    return attend(call);
  };
  const auto lambda =
      (p.at(0) * p.at(1)).sum().exp() - (p.at(2) * p.at(3)).sum().exp() + initial_lambda(in);
  const auto first = part(0), second = part(half);
  const auto wide = first.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  return first.to(wide) - lambda * second.to(wide);
}

/// `attend` is a softmax attention, which runs once for each half.
template <class Attend>
torch::Tensor difference(const AttentionInput& in, Attend&& attend) {
  const auto x = difference_of_halves(in, attend);  // [B, H, L, D]
  const auto norm = x * (x.square().mean(-1, true) + kSublayerEpsilon).rsqrt();
  return (norm * in.parameters.at(4) * (1 - initial_lambda(in))).to(in.v.scalar_type());
}

}  // namespace

torch::Tensor differential_weights(const AttentionInput& in) {
  return difference_of_halves(in, softmax_weights);
}

torch::Tensor differential_attention(const AttentionInput& in) {
  return difference(in, [](const AttentionInput& call) { return softmax_attention(call); });
}

/// The kernels take q, k and v of one width, so the values go through in two halves.
torch::Tensor composed_differential(const AttentionInput& in) {
  return difference(in, [](const AttentionInput& call) {
    const int64_t half = call.q.size(3);
    AttentionInput left = call, right = call;
    left.v = call.v.slice(-1, 0, half);
    right.v = call.v.slice(-1, half);
    left.v_previous = right.v_previous = torch::Tensor();
    const auto& softmax = attention_kind("softmax");
    return torch::cat({attention(softmax, left), attention(softmax, right)}, -1);
  });
}

}  // namespace uvic::model
