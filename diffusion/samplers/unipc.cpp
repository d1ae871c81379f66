#include "diffusion/samplers/unipc.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <vector>

#include "diffusion/combine.h"
#include "diffusion/samplers/exponential.h"

namespace uvic::diffusion {
namespace {

struct PastEvaluation {
  Knot at;
  torch::Tensor m;
};

/// Solves sum_j w_j r_j^(i-1) = b_i, i = 1..n, for the weights w: a Vandermonde system with n <= 3,
/// by elimination.
std::vector<double> solve_vandermonde(const std::vector<double>& r, std::vector<double> b) {
  const size_t n = r.size();
  std::vector<std::vector<double>> a(n, std::vector<double>(n));
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) a[i][j] = std::pow(r[j], static_cast<double>(i));
  for (size_t pivot = 0; pivot < n; ++pivot)
    for (size_t i = pivot + 1; i < n; ++i) {
      const double factor = a[i][pivot] / a[pivot][pivot];
      for (size_t j = pivot; j < n; ++j) a[i][j] -= factor * a[pivot][j];
      b[i] -= factor * b[pivot];
    }
  for (size_t i = n; i-- > 0;) {
    for (size_t j = i + 1; j < n; ++j) b[i] -= a[i][j] * b[j];
    b[i] /= a[i][i];
  }
  return b;
}

/// x_t = decay x - gain (phi(1, k) m0 + B sum_i rho_i (m_i - m0) / r_i).
///
/// Predictor and corrector use different points i. The last point of the corrector is t (r = 1).
torch::Tensor update(const SamplerConfig& config,
                     ModelKind kind,
                     const torch::Tensor& x,
                     const PastEvaluation& e0,
                     const std::vector<PastEvaluation>& others,
                     const Knot& t) {
  const auto step = exponential_step(kind, e0.at, t);
  const double b_h = config.unipc_variant == "bh1" ? step.k : std::expm1(step.k);
  std::vector<double> r, b;
  double factorial = 1;
  for (const auto& other : others) {
    const auto i = static_cast<int>(r.size()) + 1;
    factorial *= i;
    r.push_back((other.at.lambda - e0.at.lambda) / step.h);
    b.push_back(phi(i + 1, step.k) * factorial / b_h);
  }
  // With one point, the published code uses 1/2 instead of b_1, which has the same order.
  const auto rho = others.size() == 1 ? std::vector<double>{0.5} : solve_vandermonde(r, b);
  double of_m0 = phi(1, step.k);
  for (size_t i = 0; i < rho.size(); ++i) of_m0 -= b_h * rho[i] / r[i];
  auto x_t = combine({{step.decay, x}, {-step.gain * of_m0, e0.m}});
  for (size_t i = 0; i < rho.size(); ++i)
    x_t = combine({{1, x_t}, {-step.gain * b_h * rho[i] / r[i], others[i].m}});
  return x_t;
}

}  // namespace

torch::Tensor sample_unipc(const SamplerCall& call, torch::Tensor x) {
  const auto kind = call.config.unipc_model == "eps" ? ModelKind::eps : ModelKind::x0;
  const int64_t steps = call.config.steps;
  const auto times = call.times(steps);
  std::deque<PastEvaluation> history;  // newest first
  history.push_front({knot(call.schedule, times[0]), {}});
  history[0].m = evaluate(call, kind, x, history[0].at);
  for (int64_t i = 0; i < steps; ++i) {
    const auto t = knot(call.schedule, times[i + 1]);
    const auto order = multistep_order(call.config, i, static_cast<int64_t>(history.size()));
    std::vector<PastEvaluation> others(history.begin() + 1, history.begin() + order);
    const auto predicted = update(call.config, kind, x, history[0], others, t);
    if (i + 1 == steps) {  // a corrector here costs one more evaluation
      x = predicted;
    } else {
      const PastEvaluation next{t, evaluate(call, kind, predicted, t)};
      others.push_back(next);
      x = update(call.config, kind, x, history[0], others, t);
      history.push_front(next);
      if (static_cast<int64_t>(history.size()) > call.config.order) history.pop_back();
    }
    call.step_done(i + 1, steps, t.t, x);
  }
  return call.to_zero ? predict_x0(call.predict_eps, call.schedule, x, call.t_end) : x;
}

}  // namespace uvic::diffusion
