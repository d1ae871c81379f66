#include "model/attention/attention.h"

#include <fmt/format.h>

#include <stdexcept>

#include "base/tensor_text.h"
#include "base/torch_compat.h"
#include "model/attention/scores.h"
#include "model/kernel_choice.h"
#include "model/kernels/cpu/attention_kernels.h"
#include "model/kernels/cuda/attention_cuda_binding.h"

namespace uvic::model {
namespace {

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
                    base::tensor_text(in.q),
                    base::tensor_text(in.k),
                    base::tensor_text(in.v)));
  if (in.v_previous.defined() && !like_k(in.v_previous))
    throw std::invalid_argument(
        fmt::format("attention: v_previous {}, v {}; give both one shape, dtype and device",
                    base::tensor_text(in.v_previous),
                    base::tensor_text(in.v)));
  if (in.causal && in.k.size(2) < in.q.size(2))
    throw std::invalid_argument(
        fmt::format("attention: causal with {} queries and {} keys; give at least as many keys",
                    in.q.size(2),
                    in.k.size(2)));
}

}  // namespace

torch::Tensor attention(const AttentionKind& kind, const AttentionInput& in) {
  check(in);
  if (!fused_kernels()) return kind.reference(in);
  if (kind.composed) return kind.composed(in);
  if (const auto score = kind.score; score && fused_attention_serves(in.q))
    return fused_attention(*score, in.q, in.k, in.v, in.scale, in.causal);
  // On a GPU LibTorch's softmax attention is preferred where it takes the call. (Ours serves what it
  // does not: several tokens against a cache, and older versions.)
  if (kind.reference == softmax_attention) {
    const auto out = base::library_softmax_attention(in.q, in.k, in.v, in.scale, in.causal);
    if (out.defined()) return out;
  }
  if (const auto score = kind.score; score && cuda_attention_serves(in.q, in.q.size(3), in.scale))
    return cuda_attention(*score, in.q, in.k, in.v, in.scale, in.causal);
  return kind.reference(in);
}

torch::Tensor self_attention(const AttentionKind& kind,
                             const torch::Tensor& qkv,
                             int64_t heads,
                             double scale,
                             const AttentionInput& more) {
  if (qkv.dim() != 3 || heads <= 0 || qkv.size(2) % (3 * heads) != 0)
    throw std::invalid_argument(
        fmt::format("attention: qkv {} with {} heads; give [batch, tokens, 3 heads width]",
                    base::tensor_text(qkv),
                    heads));
  if (const auto score = kind.score; score && fused_kernels() && fused_attention_serves(qkv))
    return fused_attention(*score, qkv, heads, scale);
  if (kind.reference == cog_attention && fused_kernels() &&
      cuda_attention_serves(qkv, qkv.size(2) / (3 * heads), scale))
    return cuda_attention(ScoreKind::cog, qkv, heads, scale);
  const auto parts = split_heads(qkv, heads);
  AttentionInput in = more;
  in.q = parts[0], in.k = parts[1], in.v = parts[2];
  in.scale = scale;
  return attention(kind, in).transpose(1, 2).flatten(2);  // [B, L, H D]
}

std::vector<torch::Tensor> split_heads(const torch::Tensor& qkv, int64_t heads) {
  const int64_t width = qkv.size(2) / (3 * heads);
  return qkv.view({qkv.size(0), qkv.size(1), 3, heads, width}).permute({2, 0, 3, 1, 4}).unbind();
}

}  // namespace uvic::model
