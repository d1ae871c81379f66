#include "diffusion/samplers/exponential.h"

#include <algorithm>
#include <cmath>

#include "diffusion/combine.h"

namespace uvic::diffusion {

double phi(int n, double k) {
  if (n == 1) return std::expm1(k);
  double factorial = 1;  // (n - 1)!
  for (int i = 2; i < n; ++i) factorial *= i;
  if (std::abs(k) > 0.5) return phi(n - 1, k) / k - 1 / factorial;
  // For small k the subtraction loses digits; use the series sum_{i>=1} k^i / (n - 1 + i)!
  double sum = 0, term = 1 / factorial;
  for (int i = 1; i < 16; ++i) sum += term *= k / (n - 1 + i);
  return sum;
}

ExponentialStep exponential_step(ModelKind kind, const Knot& s, const Knot& t) {
  const double h = t.lambda - s.lambda;
  if (kind == ModelKind::eps) return {std::exp(t.log_alpha - s.log_alpha), t.sigma, h, h, 0};
  if (kind == ModelKind::x0) return {t.sigma / s.sigma, t.alpha, -h, h, 0};
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

torch::Tensor first_order(
    ModelKind kind, const torch::Tensor& x, const torch::Tensor& m, const Knot& s, const Knot& t) {
  const auto step = exponential_step(kind, s, t);
  return combine({{step.decay, x}, {-step.gain * phi(1, step.k), m}});
}

int64_t multistep_order(const SamplerConfig& config, int64_t i, int64_t known) {
  const auto& rule = config.lower_order_final;
  const bool lowers = rule == "always" || (rule == "below_10" && config.steps < 10);
  const auto order = std::min(config.order, known);
  return lowers ? std::min(order, config.steps - i) : order;
}

}  // namespace uvic::diffusion
