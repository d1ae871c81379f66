#include <torch/nn/module.h>

#include "model/attention/attention.h"
#include "model/attention/composed.h"
#include "model/attention/scores.h"

namespace uvic::model {
namespace {

AttentionKind with_kernels(AttentionKind kind, torch::Tensor (*composed)(const AttentionInput&)) {
  kind.composed = composed;
  return kind;
}

AttentionKind with_weights(AttentionKind kind, torch::Tensor (*weights)(const AttentionInput&)) {
  kind.weights = weights;
  return kind;
}

AttentionKind with_signed_weights(AttentionKind kind,
                                  torch::Tensor (*weights)(const AttentionInput&)) {
  kind.is_signed = true;
  return with_weights(kind, weights);
}

AttentionKind elliptical() {
  AttentionKind kind{"elliptical",
                     "softmax of scores weighted by how much values change between blocks",
                     elliptical_attention};
  kind.reads_v_previous = true;
  return with_kernels(kind, composed_elliptical);
}

/// Fresh weights give every visible token the weight 1 / T.
std::vector<KindParameter> factored_parameters(const KindShape& shape) {
  const double even = 1 / static_cast<double>(shape.length);
  return {{"alpha", {shape.heads, shape.length}, even, even}};
}

AttentionKind factored() {
  AttentionKind kind{"factored",
                     "a learned weight for each head and offset, no queries or keys",
                     factored_attention};
  kind.parameters = factored_parameters;
  kind.uses_scores = false;
  kind.only_sequences = true;
  return kind;
}

AttentionKind gated() {
  AttentionKind kind{"gated", "softmax, then a sigmoid gate on the output", gated_attention};
  kind.gated = true;
  return with_kernels(kind, composed_gated);
}

std::vector<KindParameter> differential_parameters(const KindShape& shape) {
  const std::vector<int64_t> half = {shape.width / 2};
  return {{"lambda_q1", half, 0, 0.1},
          {"lambda_k1", half, 0, 0.1},
          {"lambda_q2", half, 0, 0.1},
          {"lambda_k2", half, 0, 0.1},
          {"subln", {shape.width}, 1, 0}};
}

AttentionKind differential() {
  AttentionKind kind{"differential",
                     "the difference of two softmaxes, of half the width each",
                     differential_attention};
  kind.parameters = differential_parameters;
  kind.score_parts = 2;
  return with_kernels(kind, composed_differential);
}

}  // namespace

base::Table<AttentionKind>& attention_kinds() {
  static base::Table<AttentionKind> kinds(
      "model.attention",
      {
          with_weights({"softmax",
                        "the usual softmax: weights are positive",
                        softmax_attention,
                        ScoreKind::softmax},
                       softmax_weights),
          with_signed_weights({"cog",
                               "sign(s) softmax(|s|): weights may be negative",
                               cog_attention,
                               ScoreKind::cog},
                              cog_weights),
          with_weights({"expressive", "s^2 / (1 + s^2), normalised", expressive_attention},
                       expressive_weights),
          with_weights(elliptical(), elliptical_weights),
          with_weights({"extensive", "s^2 / (1 + s^2), not normalised", extensive_attention},
                       extensive_weights),
          with_signed_weights(factored(), factored_weights),
          with_weights(
              with_kernels({"softmax_one",
                            "softmax with 1 added to its denominator: may attend to nothing",
                            softmax_one_attention},
                           composed_softmax_one),
              softmax_one_weights),
          with_weights(gated(), softmax_weights),
          with_signed_weights(differential(), differential_weights),
      });
  return kinds;
}

int64_t own_parameters(const AttentionKind& kind, int64_t dim, const KindShape& shape) {
  int64_t total = kind.gated ? dim * dim + dim : 0;
  for (const auto& parameter : kind_parameters(kind, shape)) {
    int64_t numel = 1;
    for (const auto size : parameter.shape) numel *= size;
    total += numel;
  }
  return total;
}

std::vector<torch::Tensor> register_kind_parameters(torch::nn::Module& owner,
                                                    const AttentionKind& kind,
                                                    const KindShape& shape) {
  std::vector<torch::Tensor> registered;
  for (const auto& [name, sizes, mean, std] : kind_parameters(kind, shape))
    registered.push_back(
        owner.register_parameter(name, mean + std * torch::randn(at::IntArrayRef(sizes))));
  return registered;
}

}  // namespace uvic::model
