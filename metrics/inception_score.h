// Inception Score.
#pragma once

#include <cstdint>

#include "base/torch.h"

namespace uvic::metrics {

struct InceptionScore {
  double mean = 0;
  double std = 0;  ///< over splits, divisor n
};

/// exp(mean_i KL(p(y | x_i) || p(y))) in each of `splits` equal parts (part_of in blocks.h:
/// images sorted by class make no parts of few classes), p = softmax(logits), p(y) its mean.
/// Between 1 and the number of classes. logits [N, K]. Throws std::invalid_argument for fewer
/// images than splits. Source: Salimans et al. 2016, arXiv:1606.03498.
InceptionScore inception_score(const torch::Tensor& logits, int64_t splits = 10);

}  // namespace uvic::metrics
