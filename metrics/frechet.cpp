#include "metrics/frechet.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>

namespace uvic::metrics {
namespace {

/// Some L with L L^T = s: Cholesky's where s is safely positive definite, else U sqrt(lambda).
torch::Tensor factor(const torch::Tensor& s) {
  const auto [cholesky, info] = torch::linalg_cholesky_ex(s);
  if (info.item<int>() == 0) {
    // A tiny pivot means that rounding alone kept the factorisation going.
    const auto pivots = cholesky.diagonal().square();
    if (pivots.min().item<double>() > 1e-12 * pivots.max().item<double>()) return cholesky;
  }
  const auto [eigenvalues, eigenvectors] = torch::linalg_eigh(s, "L");
  return eigenvectors * eigenvalues.clamp_min(0).sqrt();
}

void check(const FeatureStatistics& s, const char* side) {
  const auto d = s.mean.size(0);
  if (s.covariance.dim() != 2 || s.covariance.size(0) != d || s.covariance.size(1) != d)
    throw std::invalid_argument(
        fmt::format("frechet_distance: {} mean has {} values, its covariance has {}",
                    side,
                    d,
                    s.covariance.numel()));
  if (!s.mean.isfinite().all().item<bool>() || !s.covariance.isfinite().all().item<bool>())
    throw std::runtime_error(
        fmt::format("frechet_distance: {} statistics hold NaN or infinity", side));
}

}  // namespace

double frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b) {
  torch::NoGradGuard no_grad;
  check(a, "the first");
  check(b, "the second");
  if (a.mean.size(0) != b.mean.size(0))
    throw std::invalid_argument(fmt::format(
        "frechet_distance: {} features against {}; were both made by the same extractor?",
        a.mean.size(0),
        b.mean.size(0)));
  if (a.mean.equal(b.mean) && a.covariance.equal(b.covariance)) return 0.0;

  const auto l = factor(b.covariance);
  const auto product = l.t().mm(a.covariance).mm(l);
  const auto eigenvalues = torch::linalg_eigvalsh((product + product.t()) / 2, "L");
  const double trace_of_root = eigenvalues.clamp_min(0).sqrt().sum().item<double>();
  const double distance = (a.mean - b.mean).square().sum().item<double>() +
                          a.covariance.trace().item<double>() +
                          b.covariance.trace().item<double>() - 2 * trace_of_root;
  return std::max(distance, 0.0);
}

}  // namespace uvic::metrics
