#include "diffusion/samplers/exponential.h"

#include <cmath>

#include "diffusion/linear.h"

namespace uvic::diffusion {
namespace {

/// sum over i >= 0 of k^(i+1) n! / (i + 1 + n)!, the tail of e^k that phi_{n+1} is; where k is too
/// small to subtract.
double phi_series(double k, int n) {
  double sum = 0, term = 1;
  for (int j = 1; j <= n; ++j) term /= j;
  for (int i = 1; i < 16; ++i) sum += term *= k / (i + n);
  return sum;
}

constexpr double kSmall = 0.1;

}  // namespace

double phi_1(double k) { return std::expm1(k); }
double phi_2(double k) { return std::abs(k) < kSmall ? phi_series(k, 1) : std::expm1(k) / k - 1; }
double phi_3(double k) { return std::abs(k) < kSmall ? phi_series(k, 2) : phi_2(k) / k - 0.5; }

ExponentialStep exponential_step(ModelKind kind, const Knot& s, const Knot& t) {
  const double h = t.lambda - s.lambda;
  switch (kind) {
    case ModelKind::eps:
      return {std::exp(t.log_alpha - s.log_alpha), t.sigma, h, h, 0};
    case ModelKind::x0:
      return {t.sigma / s.sigma, t.alpha, -h, h, 0};
    case ModelKind::x0_sde:
      break;
  }
  return {t.sigma / s.sigma * std::exp(-h),
          t.alpha,
          -2 * h,
          h,
          t.sigma * std::sqrt(-std::expm1(-2 * h))};
}

torch::Tensor evaluate(const SamplerCall& call,
                       ModelKind kind,
                       const torch::Tensor& x,
                       const Knot& t) {
  const auto eps = call.predict_eps(x, t.t);
  if (kind == ModelKind::eps) return eps;
  return combine({{1 / t.alpha, x}, {-t.sigma / t.alpha, eps}});
}

}  // namespace uvic::diffusion
