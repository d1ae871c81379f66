// Attention by name: the kinds, their definitions in plain tensor code, and the choice of a kernel.
#pragma once

#include <torch/torch.h>

#include <optional>
#include <string>
#include <vector>

#include "base/table.h"
#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {

/// One attention call of one block, heads already split.
struct AttentionInput {
  torch::Tensor q;           ///< [B, H, L, D] queries
  torch::Tensor k, v;        ///< [B, H, S, D] keys and values, dtype and device of q
  torch::Tensor v_previous;  ///< [B, H, S, D] values one block earlier; elliptical alone reads it
  double scale = 1.0;        ///< multiplies q k^T; 1/sqrt(D) in the published models
};

/// out = softmax(s) v, with s = scale q k^T.
///
/// Returns [B, H, L, D] in the dtype of q, as do the three below; the softmax runs in float32 or
/// wider. None of them checks its input: attention() does. Source: Vaswani et al. 2017,
/// arXiv:1706.03762.
torch::Tensor softmax_attention(const AttentionInput& in);

/// out = (sign(s) * softmax(|s|)) v, with s = scale q k^T.
///
/// A row of |weights| sums to 1, or to less where a score is exactly 0: sign(0) = 0, but e^0 stays
/// in the denominator. Source: Lv et al. 2024, arXiv:2411.07176, and its U-ViC code.
torch::Tensor cog_attention(const AttentionInput& in);

/// out = w v, with s = scale q k^T and w = u / rowsum(u), u = s^2 / (1 + s^2).
///
/// Parallel and opposite keys weigh alike, orthogonal ones nothing. A row whose scores are all 0
/// gives 0. Source: Gros 2024, arXiv:2407.18601 ("expressive attention").
torch::Tensor expressive_attention(const AttentionInput& in);

/// out = softmax(scale q diag(m) k^T) v, with m_i = d_i / max_j d_j and d_i the mean over the
/// tokens of |v_i - v_previous_i|.
///
/// m is computed for each image and each head by itself, so that an image never depends on its
/// batch, and passes no gradient. Where v_previous is undefined (the first block) or equals v, m =
/// 1: plain softmax. Source: Nielsen et al. 2024, arXiv:2406.13770 ("Elliptical Attention"), the
/// over-layers estimator scaled by its largest entry.
torch::Tensor elliptical_attention(const AttentionInput& in);

/// A way to turn scores into weights: its name in configs, its definition in plain tensor code.
struct AttentionKind {
  const char* name;
  const char* help;
  torch::Tensor (*reference)(const AttentionInput&);
  std::optional<ScoreKind> score =
      std::nullopt;  ///< what the fused kernels call it, if they know it
  bool reads_v_previous = false;
};

/// Every kind, in the order in which help texts list them.
base::Table<AttentionKind>& attention_kinds();

/// The kind of that name; the error for an unknown one lists the known.
inline const AttentionKind& attention_kind(const std::string& name) {
  return attention_kinds().at(name);
}

/// The fastest kernel that takes this call; each agrees with its reference (attention_test.cpp).
/// Throws std::invalid_argument if shapes, dtypes or devices disagree.
torch::Tensor attention(const AttentionKind& kind, const AttentionInput& in);

/// The same for a block's own tokens, read where the projection left them and written where the
/// next one reads.
///
/// qkv [B, L, 3 H D] in the order (K H D), K = 3; v_previous [B, H, L, D] or undefined; returns [B,
/// L, H D].
torch::Tensor self_attention(const AttentionKind& kind,
                             const torch::Tensor& qkv,
                             int64_t heads,
                             double scale,
                             const torch::Tensor& v_previous = {});

/// q, k and v, each [B, H, L, D], inside qkv [B, L, 3 H D]; no copy.
std::vector<torch::Tensor> split_heads(const torch::Tensor& qkv, int64_t heads);

}  // namespace uvic::model
