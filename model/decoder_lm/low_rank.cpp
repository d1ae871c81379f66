#include "model/decoder_lm/low_rank.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "model/attention/probe.h"
#include "model/weights.h"

namespace uvic::model {
namespace {

/// [B, L, heads * D] -> [heads, B L, D] in float64.
torch::Tensor rows_of_heads(const torch::Tensor& x, int64_t heads) {
  return x.detach().to(torch::kFloat64).flatten(0, 1).unflatten(1, {heads, -1}).transpose(0, 1);
}

/// [heads, n, D] -> [heads, D, D].
torch::Tensor gram_of_heads(const torch::Tensor& rows) { return rows.transpose(1, 2).matmul(rows); }

/// Computes the projections of each layer once more, from what its heads read.
class MomentProbe : public AttentionProbe {
 public:
  explicit MomentProbe(DecoderLMImpl& network)
      : network_(network), moments_(network.model->layers->size()) {}

  void see(const BlockView& view) override {
    const auto layer = static_cast<size_t>(view.layer);
    auto& attention = *network_.model->layers->ptr<DecoderLayerImpl>(layer)->self_attn;
    const auto& config = network_.config();
    const int64_t heads = config.num_attention_heads, key_heads = config.key_value_heads();
    auto& sums = moments_[layer];
    add(sums.values,
        gram_of_heads(rows_of_heads(attention.v_proj->forward(view.tokens), key_heads)));
    if (!attention.kind().uses_scores) return;
    add(sums.keys, gram_of_heads(rows_of_heads(attention.k_proj->forward(view.tokens), key_heads)));
    const auto of_queries =
        gram_of_heads(rows_of_heads(attention.q_proj->forward(view.tokens), heads));
    add(sums.keys, of_queries.unflatten(0, {key_heads, heads / key_heads}).sum(1));
  }

  const std::vector<HeadMoments>& moments() const { return moments_; }

 private:
  static void add(torch::Tensor& sum, const torch::Tensor& more) {
    sum = sum.defined() ? sum + more.cpu() : more.cpu();
  }

  DecoderLMImpl& network_;
  std::vector<HeadMoments> moments_;
};

/// Eigenvectors by falling eigenvalue: [heads, D], [heads, D, D] with vectors in the columns.
std::tuple<torch::Tensor, torch::Tensor> falling_eigen(const torch::Tensor& moments) {
  const auto [values, vectors] = torch::linalg_eigh(moments, "L");  // rising
  return {values.flip(1).clamp_min(0), vectors.flip(2)};
}

/// The projection of one layer onto the leading eigenvectors: weight, bias and basis.
struct Projected {
  torch::Tensor weight, bias, basis;
};

Projected project(const LinearImpl& linear, const torch::Tensor& moments, int64_t rank) {
  const int64_t heads = moments.size(0);
  const auto dtype = linear.weight.scalar_type();
  const auto basis = std::get<1>(falling_eigen(moments)).slice(2, 0, rank).transpose(1, 2);
  const auto weight = linear.weight.detach().cpu().to(torch::kFloat64).unflatten(0, {heads, -1});
  Projected result;
  result.weight = basis.matmul(weight).flatten(0, 1).to(dtype).contiguous();
  result.basis = basis.to(dtype).contiguous();
  if (linear.bias.defined()) {
    const auto bias = linear.bias.detach().cpu().to(torch::kFloat64).view({heads, -1, 1});
    result.bias = basis.matmul(bias).flatten().to(dtype).contiguous();
  }
  return result;
}

void require_whole(const DecoderLMConfig& config) {
  base::require(config.key_ranks.empty() && config.value_ranks.empty(),
                "the network has keys and values of low rank already; compress the one that it was "
                "made from");
}

}  // namespace

std::vector<HeadMoments> measure_heads(DecoderLMImpl& network,
                                       const std::function<torch::Tensor()>& next) {
  require_whole(network.config());
  const torch::NoGradGuard no_grad;
  MomentProbe probe(network);
  const ProbeScope scope(&probe);
  for (auto tokens = next(); tokens.defined(); tokens = next()) network.forward(tokens, {}, {});
  return probe.moments();
}

int64_t rank_at(const torch::Tensor& moments, double threshold) {
  const int64_t width = moments.size(2);
  if (threshold >= 1) return width;
  const auto values = std::get<0>(falling_eigen(moments));
  const auto kept = values.cumsum(1), total = kept.slice(1, width - 1);
  // How many sums of fewer eigenvalues are not yet enough, and one more.
  const auto short_of = (kept < threshold * total).sum(1).max().item<int64_t>();
  return std::min(width, short_of + 1);
}

LowRankWeights compress_heads(const DecoderLMImpl& network,
                              const std::vector<HeadMoments>& moments,
                              double threshold) {
  base::require(threshold > 0 && threshold <= 1,
                "--rank_threshold {}: give a share above 0, at most 1",
                threshold);
  LowRankWeights result{network.config(), named_weights(network)};
  auto& config = result.config;
  require_whole(config);
  const int64_t width = config.head_width();
  const auto compress = [&](size_t layer,
                            const std::string& part,
                            const LinearImpl& linear,
                            const torch::Tensor& of_heads) -> int64_t {
    const auto rank = rank_at(of_heads, threshold);
    if (rank >= width) return 0;
    const auto place = fmt::format("model.layers.{}.self_attn.{}_", layer, part);
    const auto projected = project(linear, of_heads, rank);
    result.tensors[place + "proj.weight"] = projected.weight;
    if (projected.bias.defined()) result.tensors[place + "proj.bias"] = projected.bias;
    result.tensors[place + "basis"] = projected.basis;
    return rank;
  };
  bool keys = false, values = false;
  std::string key_ranks, value_ranks;
  for (size_t i = 0; i < moments.size(); ++i) {
    const auto& attention = *network.model->layers->ptr<DecoderLayerImpl>(i)->self_attn;
    const auto key =
        attention.k_proj ? compress(i, "k", *attention.k_proj, moments[i].keys) : int64_t{0};
    const auto value = compress(i, "v", *attention.v_proj, moments[i].values);
    key_ranks += fmt::format("{}{}", i == 0 ? "" : ",", key);
    value_ranks += fmt::format("{}{}", i == 0 ? "" : ",", value);
    keys = keys || key > 0, values = values || value > 0;
  }
  if (keys) config.key_ranks = key_ranks;
  if (values) config.value_ranks = value_ranks;
  config.validate();
  return result;
}

}  // namespace uvic::model
