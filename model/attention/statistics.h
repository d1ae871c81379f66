// What the attention of a block does, in numbers: one for each example and head, or each example.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/torch.h"
#include "model/attention/probe.h"

namespace uvic::model {

/// Where the tokens of a network of images are: [label, time, patches] or [time, context, patches].
struct TokenLayout {
  int64_t label = -1;  ///< -1: there is none
  int64_t time = 0;
  int64_t context = 0, contexts = 0;  ///< the first, and how many
  int64_t patches = 0, side = 0;      ///< the first, and a row of the grid
  bool is_sequence = false;           ///< a row of tokens, none of them special
  int64_t tokens() const { return patches + side * side; }
};

/// The layout of `tokens` tokens. Throws std::invalid_argument where the patches are no square.
TokenLayout token_layout(bool takes_classes, int64_t context_tokens, int64_t tokens);

/// The layout of a sequence, of any length.
inline TokenLayout sequence_layout() {
  TokenLayout layout;
  layout.time = -1;
  layout.is_sequence = true;
  return layout;
}

/// The queries begin .. end - 1 of a causal block: a causal call of its own with the keys
/// 0 .. end - 1. `x` and `out` become those of the queries, `tokens` those of the keys.
BlockView queries_of(const BlockView& view, int64_t begin, int64_t end);

/// The weights of these queries for these keys, [B, H, end - begin, end] of [B, H, L, L].
inline torch::Tensor queries_of(const torch::Tensor& weights, int64_t begin, int64_t end) {
  return weights.slice(2, begin, end).slice(3, 0, end);
}

/// A number that is measured: its name in files, its heading and its formula for people.
struct AttentionStatistic {
  const char* name;
  const char* title;
  const char* formula;
  const char* source;  ///< empty: ours
};

/// For each head. With w [L, S] the weights of a head, p = |w| / rowsum |w|, v the values, y the
/// tokens that the head reads (after the norm) and W_O its part of the output projection; means are
/// over the queries of an example for which the number is defined. Keys that a causal query does
/// not see count nowhere: S is the number of keys that it sees, and means over keys are over these.
///
///   negative_share      mean over the keys that a query sees of [w < 0]
///   negative_mass       sum over keys of p [w < 0]
///   net_weight          sum over keys of w
///   entropy             H = -sum p ln p, nats
///   effective_keys      exp(H)
///   sparsity            (sqrt(S) - |w|_1 / |w|_2) / (sqrt(S) - 1); 0 uniform, 1 a single key;
///                       undefined for S = 1
///   largest_sink        max over keys of the sum over queries of p, by the number of queries: the
///                       largest part of all mass that one key gets
///   mass_first          p of token 0; mass_time, mass_label, mass_context: of these tokens
///   distance            sum over patches of p |position of query - position of key|, p made to sum
///                       to 1 over the patches, patch queries alone; unit: patches, of sequences
///                       tokens
///   distance_positive   the same with p of positive weights alone; distance_negative: of negative
///   similarity          mean over the other heads of the cosine of w as a vector of L S numbers
///   similarity_largest  the largest of them
///   sign_cosine         cosine of W_O sum w v and W_O sum |w| v: 1 copies the OV image of what is
///                       attended to, -1 removes it; always 1 without signs
///   copy_cosine         cosine of W_O sum w v and sum p y: of what the head adds with what it
///                       attends to
///   copy_share          sum of the positive c over sum |c|, c_ij = w_ij (W_O v_j) . y_j: above one
///                       half the head adds more of each token than it removes
///   both_rows           share of queries where both the positive and the negative c are at least a
///                       tenth of sum |c|: the head copies and deletes in one row
///   deleted_by_sign     sum of |c| over c < 0, w < 0 by that over c < 0: how much is deleted by
///                       signs of weights and not by the OV circuit
///   output_norm         |W_O sum w v| / |x|
///   score_mean, score_std   mean and standard deviation of s over the keys
const std::vector<AttentionStatistic>& head_statistics();

/// The numbers above in their order: float64 [B, H, statistics] on the CPU, NaN where undefined.
/// `weights`: kind->weights(attention), before the gate or norm that some kinds have. Computed in
/// float32 or, of float64 inputs, in float64. Of a causal block `view` and `weights` may be those
/// of queries_of().
torch::Tensor measure_heads(const BlockView& view,
                            const torch::Tensor& weights,
                            const TokenLayout& layout);

/// For each block. With X [L, dim] the tokens after the block (of queries_of(): those of the
/// queries), s_1 >= s_2 >= ... its singular values, u_i = X_i / |X_i|:
///
///   token_cosine      mean over i != j of u_i . u_j
///   effective_rank    exp(entropy of s / sum s)
///   anisotropy        s_1^2 / sum s^2
///   token_norm        mean |X_i|
///   attention_update  mean over tokens of |what attention adds| / |x|, x before it
///   mlp_update        mean over tokens of |what the MLP adds| / |x|, x before attention
///   path_tokens       exp(entropy of R_i / sum R_i), mean over rows, of R = (|A_n| + 1) ... (|A_0| + 1),
///                     |A| the mean over heads of |w| in each block so far: the bound on how much
///                     of the first tokens can reach each token here, long skips and MLPs left out
///   signed_paths      sum |(A_n + 1) ... (A_0 + 1)| / sum R with signed mean weights A: the part of
///                     the bound that signs do not cancel
const std::vector<AttentionStatistic>& block_statistics();

/// The products of weights through the blocks so far, each [B, L, L]; undefined before the first.
struct PathProducts {
  torch::Tensor absolute, with_signs;

  /// Continues both by the weights [B, H, L, L] of the next block.
  void extend(const torch::Tensor& weights);
  /// Those of the queries begin .. end - 1 of causal blocks: [B, end - begin, end].
  PathProducts queries_of(int64_t begin, int64_t end) const;
};

/// The numbers above in their order: float64 [B, statistics] on the CPU. `paths`: with this block.
torch::Tensor measure_block(const BlockView& view,
                            const torch::Tensor& weights,
                            const PathProducts& paths);

/// For each head, from the weights of the network alone. OV = W_O W_V diag(gain), the map from a
/// normalised token to what a head adds for it, of rank D; e its eigenvalues that are not 0:
///
///   ov_copying   sum of the real parts of e over sum |e|: 1 copies, -1 deletes
///   ov_negative  share of e with a negative real part
const std::vector<AttentionStatistic>& circuit_statistics();

/// The numbers above in their order: float64 [H, statistics] on the CPU.
torch::Tensor measure_circuits(const BlockView& view);

/// Numbers of scores s in each of `bins` equal bins of [-limit, limit], those outside in the first
/// and the last: int64 [H, bins], over all examples, queries and the keys that they see. Undefined
/// for kinds whose weights are not a function of one score.
torch::Tensor count_scores(const BlockView& view, int64_t bins, double limit);

}  // namespace uvic::model
