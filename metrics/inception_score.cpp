#include "metrics/inception_score.h"

#include <fmt/format.h>

#include <stdexcept>
#include <vector>

#include "metrics/blocks.h"

namespace uvic::metrics {

InceptionScore inception_score(const torch::Tensor& logits, int64_t splits) {
  torch::NoGradGuard no_grad;
  if (logits.dim() != 2 || splits < 1 || logits.size(0) < splits)
    throw std::invalid_argument(fmt::format(
        "inception_score: logits {} in {} splits; want [N, K], at least one image for each split",
        c10::str(logits.sizes()),
        splits));
  const auto log_p = logits.to(torch::kFloat64).log_softmax(1);
  std::vector<std::vector<int64_t>> rows(splits);
  for (int64_t i = 0; i < logits.size(0); ++i) rows[part_of(i, splits)].push_back(i);
  std::vector<double> scores;
  for (int64_t split = 0; split < splits; ++split) {
    const auto part = log_p.index_select(0, torch::tensor(rows[split]));  // [n, K]
    const auto p = part.exp();
    const auto divergence =
        (p * (part - p.mean(0, true).log())).nan_to_num(0).sum(1);  // 0 log 0 = 0
    scores.push_back(divergence.mean().exp().item<double>());
  }
  const auto values = torch::tensor(scores, torch::kFloat64);
  return {values.mean().item<double>(), values.std(0, false).item<double>()};
}

}  // namespace uvic::metrics
