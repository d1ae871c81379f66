// Fréchet distance between two Gaussians: FID, sFID and FD are this, of different features.
#pragma once

#include "metrics/statistics.h"

namespace uvic::metrics {

/// d^2 = |mu1 - mu2|^2 + tr(S1) + tr(S2) - 2 tr sqrt(S1 S2).
///
/// tr sqrt(S1 S2) is the sum of the square roots of the eigenvalues of L^T S1 L with S2 = L L^T: a
/// symmetric matrix, so the result is real, and finite for rank-deficient covariances (fewer
/// pictures than features). Equal statistics give exactly 0; rounding never gives less. Throws
/// std::invalid_argument if dimensions differ, std::runtime_error on NaN or infinity. Source:
/// Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500, eq. 6.
double frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b);

}  // namespace uvic::metrics
