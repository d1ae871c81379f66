#include "metrics/frechet.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "base/parallel.h"

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

FrechetReference::FrechetReference(FeatureStatistics reference) : reference_(std::move(reference)) {
  torch::NoGradGuard no_grad;
  check(reference_, "the reference");
  const base::OneThread alone;
  factor_ = factor(reference_.covariance);
}

double FrechetReference::distance(const FeatureStatistics& s) const {
  torch::NoGradGuard no_grad;
  check(s, "the scored set");
  if (s.mean.size(0) != reference_.mean.size(0))
    throw std::invalid_argument(
        fmt::format("frechet_distance: {} features against {} of the reference; were both made by "
                    "the same extractor?",
                    s.mean.size(0),
                    reference_.mean.size(0)));
  if (s.mean.equal(reference_.mean) && s.covariance.equal(reference_.covariance)) return 0.0;

  const base::OneThread alone;
  const auto product = factor_.t().mm(s.covariance).mm(factor_);
  const auto eigenvalues = torch::linalg_eigvalsh((product + product.t()) / 2, "L");
  const double trace_of_root = eigenvalues.clamp_min(0).sqrt().sum().item<double>();
  const double distance = (s.mean - reference_.mean).square().sum().item<double>() +
                          s.covariance.trace().item<double>() +
                          reference_.covariance.trace().item<double>() - 2 * trace_of_root;
  return std::max(distance, 0.0);
}

double frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b) {
  return FrechetReference(b).distance(a);
}

JackknifeEstimate jackknife(double whole, const std::vector<double>& without_part) {
  const auto g = static_cast<double>(without_part.size());
  double mean = 0, squares = 0;
  for (const double d : without_part) mean += d / g;
  for (const double d : without_part) squares += (d - mean) * (d - mean);
  return {std::sqrt((g - 1) / g * squares), g * whole - (g - 1) * mean};
}

}  // namespace uvic::metrics
