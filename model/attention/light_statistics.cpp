#include "model/attention/light_statistics.h"

#include "model/attention/statistic_terms.h"

namespace uvic::model {

const std::vector<LightStatistic>& light_statistics() {
  static const std::vector<LightStatistic> all = {{"negative_share", true},
                                                  {"negative_mass", true},
                                                  {"entropy", false},
                                                  {"effective_keys", false},
                                                  {"largest_sink", false},
                                                  {"mass_first", false}};
  return all;
}

torch::Tensor measure_light(const torch::Tensor& weights, bool causal) {
  const torch::NoGradGuard no_grad;
  const auto w = weights.to(wide_of(weights));
  const auto magnitude = w.abs();
  const auto total = magnitude.sum(-1);  // [B, H, L]
  const auto p = ratio(magnitude, total.unsqueeze(-1));
  const auto entropy = entropy_of(p);
  const std::vector<torch::Tensor> columns = {
      ((w < 0).to(w.dtype()).sum(-1) / visible_keys(w, causal)).mean(-1),
      mean_of_defined(ratio((-w).clamp_min(0).sum(-1), total)),
      mean_of_defined(entropy),
      mean_of_defined(entropy.exp()),
      p.nan_to_num(0).mean(2).amax(-1),
      mean_of_defined(p.select(-1, 0)),
  };  // [B, H] each
  return mean_of_defined(torch::stack(columns, 1)).to(torch::kCPU, torch::kFloat64);
}

}  // namespace uvic::model
