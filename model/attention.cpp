#include "model/attention.h"

#include <fmt/format.h>

#include <stdexcept>

#include "model/torch_compat.h"

namespace uvic::model {
namespace {

std::string describe(const torch::Tensor& x) {
  std::string sizes;
  for (const auto n : x.sizes()) sizes += (sizes.empty() ? "" : ", ") + std::to_string(n);
  return fmt::format("[{}] {} on {}", sizes, c10::toString(x.scalar_type()), x.device().str());
}

void check(const AttentionInput& in) {
  for (const auto* x : {&in.q, &in.k, &in.v})
    if (!x->defined() || x->dim() != 4)
      throw std::invalid_argument("attention: q, k and v must be [batch, heads, tokens, width]");
  const auto like_k = [&](const torch::Tensor& x) {
    return x.sizes() == in.k.sizes() && x.scalar_type() == in.q.scalar_type() &&
           x.device() == in.q.device();
  };
  const bool q_fits =
      in.q.size(0) == in.k.size(0) && in.q.size(1) == in.k.size(1) && in.q.size(3) == in.k.size(3);
  if (!q_fits || !like_k(in.k) || !like_k(in.v))
    throw std::invalid_argument(
        fmt::format("attention: q {}, k {}, v {} disagree; give k and v of one shape, and batch, "
                    "heads, width, dtype and device of q",
                    describe(in.q),
                    describe(in.k),
                    describe(in.v)));
  if (in.v_previous.defined() && !like_k(in.v_previous))
    throw std::invalid_argument(
        fmt::format("attention: v_previous {}, v {}; give both one shape, dtype and device",
                    describe(in.v_previous),
                    describe(in.v)));
}

}  // namespace

const std::vector<AttentionKind>& attention_kinds() {
  static const std::vector<AttentionKind> kinds = {
      {"softmax", softmax_attention},
      {"cog", cog_attention},
      {"expressive", expressive_attention},
      {"elliptical", elliptical_attention, /*reads_v_previous=*/true},
  };
  return kinds;
}

const AttentionKind& attention_kind(const std::string& name) {
  std::string known;
  for (const auto& kind : attention_kinds()) {
    if (name == kind.name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  throw std::invalid_argument(
      fmt::format("model.attention: unknown kind {}; choose one of {}", name, known));
}

torch::Tensor attention(const AttentionKind& kind, const AttentionInput& in) {
  check(in);
  if (kind.reference == softmax_attention) {
    const auto out = library_softmax_attention(in.q, in.k, in.v, in.scale);
    if (out.defined()) return out;
  }
  return kind.reference(in);
}

}  // namespace uvic::model
