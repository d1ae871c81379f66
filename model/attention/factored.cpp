#include <fmt/format.h>

#include <stdexcept>

#include "model/attention/scores.h"

namespace uvic::model {

torch::Tensor factored_weights(const AttentionInput& in) {
  const auto& alpha = in.parameters.at(0);  // [H, T]
  const int64_t queries = in.q.size(2), keys = in.k.size(2);
  if (!in.causal || keys > alpha.size(1))
    throw std::invalid_argument(
        fmt::format("attention: factored has weights for {} causal offsets, the call has {} keys{}",
                    alpha.size(1),
                    keys,
                    in.causal ? "" : " and is not causal"));
  const auto place = torch::arange(keys, torch::dtype(torch::kInt64).device(alpha.device()));
  const auto offset = place.slice(0, keys - queries).unsqueeze(1) - place.unsqueeze(0);  // [L, S]
  const auto weights =
      alpha.index_select(1, offset.clamp_min(0).flatten()).view({1, alpha.size(0), queries, keys});
  return hide(weights, in, 0).expand({in.v.size(0), -1, -1, -1});
}

torch::Tensor factored_attention(const AttentionInput& in) {
  return apply_weights(factored_weights(in), in);
}

}  // namespace uvic::model
