// The kinds of attention by name, their definitions in plain tensor code, and the choice of kernel.
#pragma once

#include <torch/torch.h>

#include <optional>
#include <string>
#include <vector>

#include "base/table.h"
#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {

/// The input of one attention call, with the heads already split.
struct AttentionInput {
  torch::Tensor q;           ///< [B, H, L, D] queries
  torch::Tensor k, v;        ///< [B, H, S, D] keys and values, dtype and device of q
  torch::Tensor v_previous;  ///< [B, H, S, D] values of the block before; only for elliptical
  double scale = 1.0;        ///< multiplies q k^T; 1/sqrt(D) in the published models
};

/// out = softmax(s) v, with s = scale q k^T.
///
/// Returns [B, H, L, D] in the dtype of q, as the three functions below do. The softmax runs in
/// float32 or wider. These functions do not check their input, attention() does.
/// Source: Vaswani et al. 2017, arXiv:1706.03762.
torch::Tensor softmax_attention(const AttentionInput& in);

/// out = (sign(s) * softmax(|s|)) v, with s = scale q k^T.
///
/// A row of |weights| sums to 1, or to less if a score is exactly 0: sign(0) = 0, but the
/// denominator contains e^0. Source: Lv et al. 2024, arXiv:2411.07176, and its U-ViC code.
torch::Tensor cog_attention(const AttentionInput& in);

/// out = w v, with s = scale q k^T and w = u / rowsum(u), u = s^2 / (1 + s^2).
///
/// Parallel and opposite keys have the same weight, orthogonal keys have weight 0. A row whose
/// scores are all 0 gives 0. Source: Gros 2024, arXiv:2407.18601 ("expressive attention").
torch::Tensor expressive_attention(const AttentionInput& in);

/// out = softmax(scale q diag(m) k^T) v, with m_i = d_i / max_j d_j and d_i the mean over the
/// tokens of |v_i - v_previous_i|.
///
/// m is computed separately for each image and head, so an image does not depend on its batch. m
/// has no gradient. If v_previous is undefined (the first block) or equals v, then m = 1, which is
/// softmax attention. Source: Nielsen et al. 2024, arXiv:2406.13770 ("Elliptical Attention"), the
/// over-layers estimator divided by its largest entry.
torch::Tensor elliptical_attention(const AttentionInput& in);

/// One row of the table of attention kinds: its name in configs and its definition in plain tensor
/// code.
struct AttentionKind {
  const char* name;
  const char* help;
  torch::Tensor (*reference)(const AttentionInput&);
  std::optional<ScoreKind> score =
      std::nullopt;  ///< for the fused kernels; none: they do not support it
  bool reads_v_previous = false;
};

/// All kinds, in the order of the help texts.
base::Table<AttentionKind>& attention_kinds();

/// The kind with that name. Throws std::invalid_argument that lists the names.
inline const AttentionKind& attention_kind(const std::string& name) {
  return attention_kinds().at(name);
}

/// Attention with the fastest kernel that supports this call. Every kernel is tested against its
/// reference (attention_test.cpp). Throws std::invalid_argument if shapes, dtypes or devices
/// disagree.
torch::Tensor attention(const AttentionKind& kind, const AttentionInput& in);

/// Self-attention in the memory layout of the projections before and after it.
///
/// qkv is [B, L, 3 H D] in the order (K H D), K = 3. v_previous is [B, H, L, D] or undefined.
/// Returns [B, L, H D].
torch::Tensor self_attention(const AttentionKind& kind,
                             const torch::Tensor& qkv,
                             int64_t heads,
                             double scale,
                             const torch::Tensor& v_previous = {});

/// q, k and v, each [B, H, L, D], inside qkv [B, L, 3 H D]; no copy.
std::vector<torch::Tensor> split_heads(const torch::Tensor& qkv, int64_t heads);

}  // namespace uvic::model
