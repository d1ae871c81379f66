// Fréchet distance between two Gaussians: FID, sFID and FD are this, of different features.
#pragma once

#include <vector>

#include "base/torch.h"
#include "metrics/statistics.h"

namespace uvic::metrics {

/// d^2 = |mu1 - mu2|^2 + tr(S1) + tr(S2) - 2 tr sqrt(S1 S2).
///
/// tr sqrt(S1 S2) is the sum of the square roots of the eigenvalues of L^T S1 L with S2 = L L^T: a
/// symmetric matrix, so the result is real, and finite for rank-deficient covariances (fewer
/// images than features). Equal statistics give exactly 0; rounding never gives less. Throws
/// std::invalid_argument if dimensions differ, std::runtime_error on NaN or infinity. Source:
/// Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500, eq. 6.
double frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b);

/// frechet_distance to one reference, again and again: L is found once.
class FrechetReference {
 public:
  explicit FrechetReference(FeatureStatistics reference);
  double distance(const FeatureStatistics& s) const;

 private:
  FeatureStatistics reference_;
  torch::Tensor factor_;  // L [D, D]
};

/// What leaving out a tenth of the images at a time says of a distance.
struct JackknifeEstimate {
  double std = 0;           ///< of the distance, over sets of images of this size
  double extrapolated = 0;  ///< to infinitely many images, as the distance's bias falls with 1 / N
};

/// Grouped jackknife over g parts with d_k the distance without part k, m their mean:
/// std^2 = (g - 1) / g sum (d_k - m)^2, extrapolated = g d - (g - 1) m.
/// Source: Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans"; the bias of FID:
/// Chong and Forsyth 2020, arXiv:1911.07023.
JackknifeEstimate jackknife(double whole, const std::vector<double>& without_part);

}  // namespace uvic::metrics
