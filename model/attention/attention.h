// The kinds of attention by name, their definitions in plain tensor code, and the choice of kernel.
#pragma once

#include <torch/nn/module.h>

#include <optional>
#include <string>
#include <vector>

#include "base/table.h"
#include "base/torch.h"
#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {

/// The input of one attention call, with the heads already split.
struct AttentionInput {
  torch::Tensor q;           ///< [B, H, L, D] queries
  torch::Tensor k, v;        ///< [B, H, S, D] keys and values, dtype and device of q
  torch::Tensor v_previous;  ///< [B, H, S, D] values of the block before; only for elliptical
  double scale = 1.0;        ///< multiplies q k^T; 1/sqrt(D) in the published models
  bool causal = false;       ///< query i sees keys 0 .. S - L + i only; needs S >= L
  torch::Tensor gate;        ///< [B, H, L, D] before its sigmoid; only for gated
  int64_t layer = 0;         ///< number of the block, from 0; only for differential
  std::vector<torch::Tensor> parameters;  ///< what AttentionKind::parameters lists, in its order
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

/// out = w v, with w = u = s^2 / (1 + s^2) and s = scale q k^T: expressive attention without the
/// division by the sum, so a query may take something from every key or nothing at all.
///
/// "Extensive attention" of Gros 2025, arXiv:2508.04461, as we read its name: that paper's code is
/// not public.
torch::Tensor extensive_attention(const AttentionInput& in);

/// out_i = sum_j alpha(i - j) v_j, with learned weights for each head and offset, and neither
/// queries, keys nor softmax.
///
/// parameters: alpha [H, T] for offsets 0 .. T - 1 (causal). Throws std::invalid_argument if S > T
/// or the call is not causal. Source: Rende et al. 2024, arXiv:2405.18874 ("factored attention").
torch::Tensor factored_attention(const AttentionInput& in);

/// out = w v, with w = e^s / (1 + rowsum(e^s)): softmax with one more key of score 0 and value 0,
/// so a query may attend to nothing. Source: Miller 2023, "Attention is off by one".
torch::Tensor softmax_one_attention(const AttentionInput& in);

/// out = sigmoid(gate) * (softmax(s) v), a gate for each number of the output, computed from the
/// input of the block. Source: Qiu et al. 2025, arXiv:2505.06708, gate G1 (elementwise, after the
/// attention of each head).
torch::Tensor gated_attention(const AttentionInput& in);

/// out = (1 - l0) RMSNorm((softmax(s1) - l softmax(s2)) v), with s1 and s2 from the first and the
/// second half of the widths of q and k, each scaled by sqrt(2) scale, and
/// l = exp(q1 . k1) - exp(q2 . k2) + l0, l0 = 0.8 - 0.6 exp(-0.3 layer).
///
/// parameters: lambda_q1, lambda_k1, lambda_q2, lambda_k2 [D / 2], subln [D]. Throws
/// std::invalid_argument for an odd D. Source: Ye et al. 2024, arXiv:2410.05258.
torch::Tensor differential_attention(const AttentionInput& in);

/// What the parameters of a kind depend on.
struct KindShape {
  int64_t heads = 1, width = 1;  ///< H and D
  int64_t length = 1;            ///< the largest number of keys
};

/// A learned tensor of one attention layer, registered under `name`.
struct KindParameter {
  std::string name;
  std::vector<int64_t> shape;
  double mean = 0, std = 0;  ///< of fresh weights, normal
};

/// One row of the table of attention kinds: its name in configs and its definition in plain tensor
/// code.
struct AttentionKind {
  const char* name;
  const char* help;
  torch::Tensor (*reference)(const AttentionInput&);
  std::optional<ScoreKind> score =
      std::nullopt;  ///< for the fused kernels; none: they do not support it
  bool reads_v_previous = false;
  /// The same result through attention() of other kinds, which have kernels; null: none.
  torch::Tensor (*composed)(const AttentionInput&) = nullptr;
  std::vector<KindParameter> (*parameters)(const KindShape&) = nullptr;  ///< null: none
  bool gated = false;           ///< reads AttentionInput::gate
  bool uses_scores = true;      ///< false: reads neither q nor k
  bool only_sequences = false;  ///< has a meaning in causal networks only
  int64_t score_parts = 1;      ///< parts of the width of q and k that make scores of their own
  /// w [B, H, L, S], float32 or wider, of the output w v, which a gate or a norm may follow. Null:
  /// the kind has no such weights to look at.
  torch::Tensor (*weights)(const AttentionInput&) = nullptr;
  bool is_signed = false;  ///< weights may be negative
};

/// The learned tensors of a kind; empty for most.
inline std::vector<KindParameter> kind_parameters(const AttentionKind& kind,
                                                  const KindShape& shape) {
  return kind.parameters ? kind.parameters(shape) : std::vector<KindParameter>();
}

/// The number of parameters that one layer has for its kind: those of the list, and the gate's.
int64_t own_parameters(const AttentionKind& kind, int64_t dim, const KindShape& shape);

/// Registers fresh parameters of the kind with `owner` and returns them in order.
std::vector<torch::Tensor> register_kind_parameters(torch::nn::Module& owner,
                                                    const AttentionKind& kind,
                                                    const KindShape& shape);

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
/// qkv is [B, L, 3 H D] in the order (K H D), K = 3. `more` holds what else the kind reads:
/// v_previous, gate, layer and parameters. Returns [B, L, H D]. Not causal.
torch::Tensor self_attention(const AttentionKind& kind,
                             const torch::Tensor& qkv,
                             int64_t heads,
                             double scale,
                             const AttentionInput& more = {});

/// q, k and v, each [B, H, L, D], inside qkv [B, L, 3 H D]; no copy.
std::vector<torch::Tensor> split_heads(const torch::Tensor& qkv, int64_t heads);

}  // namespace uvic::model
