#include "model/attention/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "model/attention/scores.h"
#include "model/attention/statistic_terms.h"

namespace uvic::model {
namespace {

constexpr double kLeastOfBoth = 0.1;

/// The cosine over the last dimension, NaN where one of both is 0.
torch::Tensor cosine(const torch::Tensor& a, const torch::Tensor& b) {
  return ratio((a * b).sum(-1), a.norm(2, -1) * b.norm(2, -1));
}

/// Distances between the patches of a grid, in patches: [side^2, side^2].
torch::Tensor patch_distances(int64_t side, const torch::TensorOptions& options) {
  const auto place = torch::arange(side, options);
  const auto across = place.unsqueeze(0) - place.unsqueeze(1);  // [side, side]
  const auto squares =
      across.square().view({side, 1, side, 1}) + across.square().view({1, side, 1, side});
  return squares.sqrt().reshape({side * side, side * side});
}

/// Distances between the tokens of a sequence, the queries its last: [queries, keys].
torch::Tensor token_distances(const torch::Tensor& w) {
  const int64_t queries = w.size(2), keys = w.size(3);
  return (torch::arange(keys - queries, keys, w.options()).unsqueeze(1) -
          torch::arange(keys, w.options()))
      .abs();
}

/// [B, H]: the mean distance of weights that are 0 or positive, [B, H, L, S].
torch::Tensor mean_distance(const torch::Tensor& positive, const TokenLayout& layout) {
  const auto local = positive.slice(2, layout.patches).slice(3, layout.patches);
  const auto distances = layout.is_sequence ? token_distances(positive)
                                            : patch_distances(layout.side, positive.options());
  return mean_of_defined(ratio((local * distances).sum(-1), local.sum(-1)));
}

/// What a head makes of the tokens that it attends to, in the space of the residual stream.
class HeadOutputs {
 public:
  HeadOutputs(const BlockView& view, const torch::Tensor& weights)
      : w(weights),
        v(view.attention.v.to(weights.dtype())),
        y(view.tokens.to(weights.dtype()).unsqueeze(1)),
        x_norm(view.x.to(weights.dtype()).norm(2, -1).unsqueeze(1)) {
    const int64_t heads = v.size(1), width = v.size(3);
    // [dim, H D] -> [H, D, dim]
    out_weight = view.proj_weight.to(w.dtype()).t().reshape({heads, width, -1});
  }

  torch::Tensor out(const torch::Tensor& signed_weights) const {
    return signed_weights.matmul(v).matmul(out_weight);  // [B, H, L, dim]
  }
  /// c [B, H, L, S] = w_ij (W_O v_j) . y_j.
  torch::Tensor contributions() const {
    const auto read = y.matmul(out_weight.transpose(1, 2));  // [B, H, S, D]: W_O^T y_j
    return w * (v * read).sum(-1).unsqueeze(2);
  }

  torch::Tensor w, v;
  torch::Tensor y;       // [B, 1, L, dim]
  torch::Tensor x_norm;  // [B, 1, L]
  torch::Tensor out_weight;
};

/// [B, H] each: the mean and the largest cosine with the weights of the other heads.
std::pair<torch::Tensor, torch::Tensor> similarities(const torch::Tensor& w) {
  const int64_t heads = w.size(1);
  const auto none = torch::full({w.size(0), heads}, kUndefined, w.options());
  if (heads < 2) return {none, none};
  const auto flat = w.flatten(2);
  const auto unit = flat / flat.norm(2, -1, true).clamp_min(std::numeric_limits<float>::min());
  const auto cosines = unit.matmul(unit.transpose(1, 2));  // [B, H, H]
  const auto self = torch::eye(heads, w.options());
  const auto mean = (cosines * (1 - self)).sum(-1) / static_cast<double>(heads - 1);
  return {mean, (cosines - 3 * self).amax(-1)};
}

/// What the signs and the OV circuit do to the attended tokens, five columns.
void add_copying(const HeadOutputs& outputs,
                 const torch::Tensor& p,
                 std::vector<torch::Tensor>& columns) {
  const auto& w = outputs.w;
  const auto out = outputs.out(w);
  columns.push_back(mean_of_defined(cosine(out, outputs.out(w.abs()))));
  columns.push_back(mean_of_defined(cosine(out, p.matmul(outputs.y))));
  const auto c = outputs.contributions();
  const auto copied = c.clamp_min(0).sum(-1), deleted = (-c).clamp_min(0).sum(-1);  // [B, H, L]
  const auto share = ratio(copied, copied + deleted);
  columns.push_back(mean_of_defined(share));
  const auto less = torch::minimum(share, 1 - share);
  columns.push_back(
      mean_of_defined(torch::where(less.isnan(), less, (less >= kLeastOfBoth).to(less.dtype()))));
  const auto by_sign = torch::where(w < 0, (-c).clamp_min(0), torch::zeros_like(c)).sum(-1);
  columns.push_back(mean_of_defined(ratio(by_sign, deleted)));
  columns.push_back(mean_of_defined(out.norm(2, -1) / outputs.x_norm));
}

bool has_scores(const BlockView& view) {
  return view.kind->uses_scores && view.kind->score_parts == 1;
}

/// s [B, H, L, S], as the kind sees them.
torch::Tensor scores_of(const BlockView& view) {
  return attention_scores(view.kind->reads_v_previous ? stretch_queries(view.attention)
                                                      : view.attention);
}

/// Mean and standard deviation over keys of the scores, of the keys that a query sees.
void add_scores(const BlockView& view,
                const torch::Tensor& like,
                std::vector<torch::Tensor>& columns) {
  if (!has_scores(view)) {
    const auto none = torch::full({like.size(0), like.size(1)}, kUndefined, like.options());
    columns.insert(columns.end(), 2, none);
    return;
  }
  const auto s = hide(scores_of(view), view.attention, 0);
  const auto count = visible_keys(s, view.attention.causal);
  const auto mean = s.sum(-1) / count;  // [B, H, L]
  const auto distance = hide(s - mean.unsqueeze(-1), view.attention, 0);
  columns.push_back(mean.mean(-1));
  columns.push_back((distance.square().sum(-1) / count).sqrt().mean(-1));
}

/// (sqrt(S) - |w|_1 / |w|_2) / (sqrt(S) - 1), S the keys that a query sees: [B, H].
torch::Tensor hoyer_sparsity(const torch::Tensor& w, const torch::Tensor& total, bool causal) {
  const auto root = visible_keys(w, causal).sqrt();  // [L]
  const auto sparsity = (root - ratio(total, w.norm(2, -1))) / (root - 1);
  return mean_of_defined(torch::where(root > 1, sparsity, torch::full_like(sparsity, kUndefined)));
}

/// What attention adds to the residual stream, [B, L, dim].
torch::Tensor update_of(const BlockView& view, const torch::Tensor& weights, torch::Dtype dtype) {
  // A gate or a norm after the weights is part of some kinds.
  const bool plain = !view.kind->gated && view.kind->score_parts == 1;
  const auto heads = plain ? apply_weights(weights, view.attention)
                           : view.kind->reference(view.attention);  // [B, H, L, D]
  return torch::linear(heads.transpose(1, 2).flatten(2).to(dtype),
                       view.proj_weight.to(dtype),
                       view.proj_bias.defined() ? view.proj_bias.to(dtype) : torch::Tensor());
}

}  // namespace

BlockView queries_of(const BlockView& view, int64_t begin, int64_t end) {
  BlockView part = view;
  auto& in = part.attention;
  for (auto* t : {&in.q, &in.gate})
    if (t->defined()) *t = t->slice(2, begin, end);
  for (auto* t : {&in.k, &in.v, &in.v_previous})
    if (t->defined()) *t = t->slice(2, 0, end);
  for (auto* t : {&part.x, &part.out}) *t = t->slice(1, begin, end);
  part.tokens = view.tokens.slice(1, 0, end);
  return part;
}

TokenLayout token_layout(bool takes_classes, int64_t context_tokens, int64_t tokens) {
  TokenLayout layout;
  if (takes_classes) layout.label = 0, layout.time = 1;
  layout.context = layout.time + 1;
  layout.contexts = context_tokens;
  layout.patches = layout.context + context_tokens;
  layout.side = std::llround(std::sqrt(std::max<double>(0, tokens - layout.patches)));
  base::require(layout.side > 0 && layout.tokens() == tokens,
                "attention: {} tokens, of which the patches from {} on are not a square",
                tokens,
                layout.patches);
  return layout;
}

const std::vector<AttentionStatistic>& head_statistics() {
  constexpr const char* kLv = "Lv et al. 2024, arXiv:2411.07176";
  static const std::vector<AttentionStatistic> all = {
      {"negative_share", "share of negative weights", "mean over keys of [w < 0]", kLv},
      {"negative_mass", "mass of negative weights", "sum |w| over w < 0, by sum |w|", kLv},
      {"net_weight", "sum of weights", "sum over keys of w", ""},
      {"entropy",
       "entropy, nats",
       "-sum p ln p, p = |w| / sum |w|",
       "Clark et al. 2019, arXiv:1906.04341"},
      {"effective_keys", "effective number of keys", "exp of the entropy", ""},
      {"sparsity",
       "sparsity (Hoyer)",
       "(sqrt S - |w|1 / |w|2) / (sqrt S - 1)",
       "Hoyer 2004, JMLR 5"},
      {"largest_sink",
       "largest sink",
       "largest mean over queries of p of one key",
       "Xiao et al. 2023, arXiv:2309.17453"},
      {"mass_first",
       "mass on the first token",
       "p of token 0",
       "Xiao et al. 2023, arXiv:2309.17453"},
      {"mass_time", "mass on the time token", "p of the time token", ""},
      {"mass_label", "mass on the label token", "p of the label token", ""},
      {"mass_context", "mass on the context tokens", "sum of p over the context", ""},
      {"distance",
       "attention distance, patches or tokens",
       "mean of |query - key| in the grid or sequence, weighted by p",
       "Dosovitskiy et al. 2020, arXiv:2010.11929, appendix D.7"},
      {"distance_positive", "distance of positive weights", "the same for w > 0", ""},
      {"distance_negative", "distance of negative weights", "the same for w < 0", ""},
      {"similarity",
       "similarity to other heads",
       "mean cosine of w with that of the other heads",
       "Bian et al. 2021, NAACL"},
      {"similarity_largest", "similarity to the nearest head", "largest such cosine", ""},
      {"sign_cosine", "output against OV image", "cos(sum w v W_O, sum |w| v W_O)", kLv},
      {"copy_cosine",
       "output against attended tokens",
       "cos(sum w v W_O, sum p y)",
       "McDougall et al. 2023, arXiv:2310.04625"},
      {"copy_share", "share that is copied", "sum of c > 0 by sum |c|, c = w (v W_O) . y", ""},
      {"both_rows",
       "rows that copy and delete",
       "share of queries with a tenth of |c| of either sign",
       kLv},
      {"deleted_by_sign", "deleted by signs", "part of c < 0 that has w < 0", kLv},
      {"output_norm", "norm of the head's output", "|sum w v W_O| / |x|", ""},
      {"score_mean", "mean score", "mean of s over keys", ""},
      {"score_std", "std of scores", "standard deviation of s over keys", ""},
  };
  return all;
}

torch::Tensor measure_heads(const BlockView& view,
                            const torch::Tensor& weights,
                            const TokenLayout& layout) {
  const torch::NoGradGuard no_grad;
  const auto w = weights.to(wide_of(weights));
  const auto magnitude = w.abs(), positive = w.clamp_min(0), negative = (-w).clamp_min(0);
  const auto total = magnitude.sum(-1);  // [B, H, L]
  const auto p = ratio(magnitude, total.unsqueeze(-1));
  const auto none = torch::full({w.size(0), w.size(1)}, kUndefined, w.options());
  const auto mass_of = [&](int64_t first, int64_t count) {
    return count > 0 ? mean_of_defined(p.slice(3, first, first + count).sum(-1)) : none;
  };
  const auto entropy = entropy_of(p);

  std::vector<torch::Tensor> columns = {
      ((w < 0).to(w.dtype()).sum(-1) / visible_keys(w, view.attention.causal)).mean(-1),
      mean_of_defined(ratio(negative.sum(-1), total)),
      w.sum(-1).mean(-1),
      mean_of_defined(entropy),
      mean_of_defined(entropy.exp()),
      hoyer_sparsity(w, total, view.attention.causal),
      p.nan_to_num(0).mean(2).amax(-1),
      mass_of(0, 1),
      mass_of(layout.time, layout.time < 0 ? 0 : 1),
      mass_of(layout.label, layout.label < 0 ? 0 : 1),
      mass_of(layout.context, layout.contexts),
      mean_distance(magnitude, layout),
      mean_distance(positive, layout),
      mean_distance(negative, layout),
  };
  const auto [similarity, largest] = similarities(w);
  columns.insert(columns.end(), {similarity, largest});
  add_copying(HeadOutputs(view, w), p, columns);
  add_scores(view, w, columns);
  return torch::stack(columns, -1).to(torch::kCPU, torch::kFloat64);
}

const std::vector<AttentionStatistic>& block_statistics() {
  constexpr const char* kBarbero = "Barbero et al. 2024, arXiv:2406.04267, theorem 5.1";
  static const std::vector<AttentionStatistic> all = {
      {"token_cosine",
       "cosine between tokens",
       "mean over pairs of tokens after the block",
       "Ethayarajh 2019, arXiv:1909.00512"},
      {"effective_rank",
       "effective rank of the tokens",
       "exp(entropy of s / sum s), s singular values",
       "Roy and Vetterli 2007, EUSIPCO"},
      {"anisotropy",
       "anisotropy of the tokens",
       "s_1^2 / sum s^2",
       "Godey et al. 2024, arXiv:2401.12143"},
      {"token_norm", "norm of the tokens", "mean |X|", ""},
      {"attention_update", "update by attention", "mean |attention's update| / |x|", ""},
      {"mlp_update", "update by the MLP", "mean |MLP's update| / |x|", ""},
      {"path_tokens",
       "tokens that paths come from",
       "exp(entropy of a row of prod (|A| + 1))",
       kBarbero},
      {"signed_paths",
       "paths that signs leave",
       "sum |prod (A + 1)| / sum prod (|A| + 1)",
       kBarbero},
  };
  return all;
}

void PathProducts::extend(const torch::Tensor& weights) {
  const torch::NoGradGuard no_grad;
  const auto next = [](const torch::Tensor& mean, const torch::Tensor& before) {
    const auto step = mean + torch::eye(mean.size(1), mean.options());
    return before.defined() ? step.matmul(before) : step;
  };
  absolute = next(weights.abs().mean(1), absolute);
  with_signs = next(weights.mean(1), with_signs);
}

PathProducts PathProducts::queries_of(int64_t begin, int64_t end) const {
  return {absolute.slice(1, begin, end).slice(2, 0, end),
          with_signs.slice(1, begin, end).slice(2, 0, end)};
}

torch::Tensor measure_block(const BlockView& view,
                            const torch::Tensor& weights,
                            const PathProducts& paths) {
  const torch::NoGradGuard no_grad;
  const auto dtype = wide_of(weights);
  const auto out = view.out.to(dtype), x = view.x.to(dtype);
  const double tokens = static_cast<double>(out.size(1));
  const auto norms = out.norm(2, -1, true);  // [B, L, 1]
  const auto unit = out / norms.clamp_min(std::numeric_limits<float>::min());
  const auto pairs = unit.sum(1).square().sum(-1) - unit.square().sum(-1).sum(-1);  // [B]
  // Squares of singular values, in float64: the small ones are differences of large numbers.
  const auto wide = out.to(torch::kFloat64);
  const auto gram = out.size(1) <= out.size(2) ? wide.matmul(wide.transpose(1, 2))
                                               : wide.transpose(1, 2).matmul(wide);
  const auto squares = torch::linalg_eigvalsh(gram).clamp_min(0);  // ascending
  const auto singular = squares.sqrt();
  const auto update = update_of(view, weights, dtype);
  const auto x_norm = x.norm(2, -1);
  const auto shares = paths.absolute / paths.absolute.sum(-1, true);
  const std::vector<torch::Tensor> columns = {
      tokens > 1 ? pairs / (tokens * (tokens - 1)) : torch::full_like(pairs, kUndefined),
      entropy_of(singular / singular.sum(-1, true)).exp(),
      squares.select(-1, -1) / squares.sum(-1),
      norms.squeeze(-1).mean(-1),
      (update.norm(2, -1) / x_norm).mean(-1),
      ((out - x - update).norm(2, -1) / x_norm).mean(-1),
      entropy_of(shares).exp().mean(-1),
      paths.with_signs.abs().sum(-1).sum(-1) / paths.absolute.sum(-1).sum(-1),
  };
  std::vector<torch::Tensor> numbers;
  for (const auto& column : columns) numbers.push_back(column.to(torch::kCPU, torch::kFloat64));
  return torch::stack(numbers, -1);
}

const std::vector<AttentionStatistic>& circuit_statistics() {
  static const std::vector<AttentionStatistic> all = {
      {"ov_copying",
       "copying of the OV circuit",
       "sum Re e / sum |e|, e eigenvalues of W_O W_V diag(gain)",
       "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits"},
      {"ov_negative", "negative eigenvalues of the OV circuit", "share of e with Re e < 0", ""},
  };
  return all;
}

torch::Tensor measure_circuits(const BlockView& view) {
  const torch::NoGradGuard no_grad;
  const auto wide = [](const torch::Tensor& t) { return t.to(torch::kCPU, torch::kFloat64); };
  const int64_t heads = view.attention.v.size(1), width = view.attention.v.size(3);
  const auto value =
      (wide(view.value_weight) * wide(view.norm_gain)).reshape({heads, width, -1});  // [H, D, dim]
  const auto out = wide(view.proj_weight).t().reshape({heads, width, -1});           // [H, D, dim]
  // The eigenvalues of W_O W_V [dim, dim] that are not 0 are those of W_V W_O [D, D].
  const auto e = torch::linalg_eigvals(value.matmul(out.transpose(1, 2)));  // [H, D]
  const auto real = torch::real(e);
  return torch::stack({real.sum(-1) / e.abs().sum(-1), (real < 0).to(torch::kFloat64).mean(-1)},
                      -1);
}

torch::Tensor count_scores(const BlockView& view, int64_t bins, double limit) {
  if (!has_scores(view)) return {};
  const torch::NoGradGuard no_grad;
  const auto s = scores_of(view);  // [B, H, L, S]
  const int64_t heads = s.size(1);
  const auto place = ((s + limit) * (static_cast<double>(bins) / (2 * limit)))
                         .floor()
                         .clamp(0, static_cast<double>(bins - 1))
                         .to(torch::kInt64);
  const auto offset = torch::arange(heads, place.options()).view({1, heads, 1, 1}) * bins;
  // Scores of keys that a query does not see go to a place of their own.
  auto places = place + offset;
  if (view.attention.causal) places = places.masked_fill(hidden_keys(view.attention), heads * bins);
  return places.flatten()
      .bincount({}, heads * bins + 1)
      .slice(0, 0, heads * bins)
      .view({heads, bins})
      .to(torch::kCPU);
}

}  // namespace uvic::model
