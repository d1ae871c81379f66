// Fidelity and diversity, separately: improved precision and recall, density and coverage.
#pragma once

#include <cstdint>

#include "base/torch.h"

namespace uvic::metrics {

struct PrecisionRecall {
  double precision = 0;  ///< generated images inside the ball of a real one
  double recall = 0;     ///< real images inside the ball of a generated one
  double density = 0;    ///< balls of real images around a generated one, over k
  double coverage = 0;   ///< real images whose ball holds a generated one
};

/// The ball of a image reaches to its k-th nearest neighbour in its own set, itself not counted.
/// real [N, D], generated [M, D]; O(N M) time, O(max(N, M)) memory besides the features.
/// Published values use k = 3 for precision and recall, 5 for density and coverage.
/// Throws std::invalid_argument on unequal widths or fewer than k + 1 rows.
/// Source: Kynkaanniemi et al. 2019, arXiv:1904.06991; Naeem et al. 2020, arXiv:2002.09797.
PrecisionRecall precision_recall(const torch::Tensor& real,
                                 const torch::Tensor& generated,
                                 int64_t k = 3);

}  // namespace uvic::metrics
