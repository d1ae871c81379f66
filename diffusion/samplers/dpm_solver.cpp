#include "diffusion/samplers/dpm_solver.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "diffusion/linear.h"
#include "diffusion/samplers/exponential.h"
#include "diffusion/timestep_grid.h"

namespace uvic::diffusion {
namespace {

/// A model value and the point where it was taken.
struct Evaluation {
  Knot at;
  torch::Tensor m;
};

/// Multistep update of order 1 to 3 from the latest evaluations (newest first). Source:
/// arXiv:2211.01095, algorithm 2.
torch::Tensor multistep_update(const SamplerConfig& config,
                               ModelKind kind,
                               const torch::Tensor& x,
                               const std::deque<Evaluation>& history,
                               const Knot& t,
                               int64_t order) {
  const auto& e0 = history[0];
  const auto step = exponential_step(kind, e0.at, t);
  const double p1 = phi_1(step.k);
  if (order == 1) return combine({{step.decay, x}, {-step.gain * p1, e0.m}});
  const auto& e1 = history[1];
  const double r0 = (e0.at.lambda - e1.at.lambda) / step.h;
  if (order == 2) {  // m' = (m0 - m1) / r0 in units of h
    const double c = (config.solver_type == "taylor" ? phi_2(step.k) : p1 / 2) / r0;
    return combine({{step.decay, x}, {-step.gain * (p1 + c), e0.m}, {step.gain * c, e1.m}});
  }
  const auto& e2 = history[2];
  // m' and m'' from the divided differences d0 = (m0 - m1) / r0, d1 = (m1 - m2) / r1
  const double r1 = (e1.at.lambda - e2.at.lambda) / step.h;
  const double p2 = phi_2(step.k), p3 = phi_3(step.k);
  const double of_d1 = -(p2 * r0 + p3) / (r0 + r1), of_d0 = p2 - of_d1;
  return combine({{step.decay, x},
                  {-step.gain * (p1 + of_d0 / r0), e0.m},
                  {step.gain * (of_d0 / r0 - of_d1 / r1), e1.m},
                  {step.gain * of_d1 / r1, e2.m}});
}

bool lowers_final_order(const SamplerConfig& config) {
  return config.lower_order_final == "always" ||
         (config.lower_order_final == "auto" && config.steps < 10);
}

torch::Tensor multistep(const SamplerCall& call, ModelKind kind, torch::Tensor x) {
  const auto times = call.times(call.config.steps);
  const int64_t steps = call.config.steps;
  std::deque<Evaluation> history;
  for (int64_t i = 0; i < steps; ++i) {
    const auto s = knot(call.schedule, times[i]), t = knot(call.schedule, times[i + 1]);
    history.push_front({s, evaluate(call, kind, x, s)});
    if (static_cast<int64_t>(history.size()) > call.config.order) history.pop_back();
    auto order = static_cast<int64_t>(history.size());
    if (lowers_final_order(call.config)) order = std::min(order, steps - i);
    x = multistep_update(call.config, kind, x, history, t, order);
    const double noise = exponential_step(kind, s, t).noise;
    if (noise > 0) x = combine({{1, x}, {noise, call.draw_like(x)}});
    call.step_done(i + 1, steps, t.t, x);
  }
  return x;
}

torch::Tensor run(const SamplerCall& call, ModelKind kind, torch::Tensor x) {
  x = multistep(call, kind, std::move(x));
  if (call.to_zero) x = predict_x0(call.predict_eps, call.schedule, x, call.t_end);
  return x;
}

}  // namespace

torch::Tensor sample_dpm_solver(const SamplerCall& call, torch::Tensor x) {
  return run(call, ModelKind::eps, std::move(x));
}

torch::Tensor sample_dpm_solver_pp(const SamplerCall& call, torch::Tensor x) {
  return run(call, ModelKind::x0, std::move(x));
}

torch::Tensor sample_dpm_solver_pp_sde(const SamplerCall& call, torch::Tensor x) {
  return run(call, ModelKind::x0_sde, std::move(x));
}

}  // namespace uvic::diffusion
