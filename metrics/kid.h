// Kernel Inception Distance.
#pragma once

#include <cstdint>

#include "base/torch.h"

namespace uvic::metrics {

struct KidOptions {
  int64_t subsets = 100;
  int64_t subset_size = 1000;  ///< images; the smaller set bounds it
  uint64_t seed = 0;           ///< which images make the subsets
};

/// Mean and standard deviation over subsets.
struct KidResult {
  double mean = 0;
  double std = 0;           ///< standard deviation over subsets, divisor n
  int64_t subset_size = 0;  ///< as used
  int64_t subsets = 0;      ///< as used: 1 where a subset holds every image of both sets
};

/// MMD^2 with k(x, y) = (x.y / D + 1)^3, unbiased, so that it may be slightly below 0 for sets
/// alike: mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean k(x_i, y_j), over random
/// subsets. x [N, D], y [M, D]. Throws std::invalid_argument on unequal widths or fewer than 2
/// rows. Source: Binkowski et al. 2018, arXiv:1801.01401.
KidResult kernel_distance(const torch::Tensor& x,
                          const torch::Tensor& y,
                          const KidOptions& options = {});

}  // namespace uvic::metrics
