#include "diffusion/samplers/dpm_solver.h"

#include <algorithm>
#include <deque>

#include "diffusion/combine.h"
#include "diffusion/samplers/dpm_solver_adaptive.h"
#include "diffusion/samplers/dpm_solver_singlestep.h"
#include "diffusion/samplers/exponential.h"

namespace uvic::diffusion {
namespace {

/// A model output and the point at which it was evaluated.
struct Evaluation {
  Knot at;
  torch::Tensor m;
};

/// The update of order 1 to 3 from the latest evaluations, newest first.
/// Source: arXiv:2211.01095, algorithm 2.
torch::Tensor multistep_update(const SamplerConfig& config,
                               ModelKind kind,
                               const torch::Tensor& x,
                               const std::deque<Evaluation>& history,
                               const Knot& t,
                               int64_t order) {
  const auto& e0 = history[0];
  if (order == 1) return first_order(kind, x, e0.m, e0.at, t);
  const auto& e1 = history[1];
  const auto step = exponential_step(kind, e0.at, t);
  const double p1 = phi(1, step.k), p2 = phi(2, step.k);
  const double r0 = (e0.at.lambda - e1.at.lambda) / step.h;
  if (order == 2) {  // m' = (m0 - m1) / r0
    const double c = (config.solver_type == "taylor" ? p2 : p1 / 2) / r0;
    return combine({{step.decay, x}, {-step.gain * (p1 + c), e0.m}, {step.gain * c, e1.m}});
  }
  const auto& e2 = history[2];
  // m' and m'' of the parabola through m0, m1, m2; d0 = (m0 - m1) / r0, d1 = (m1 - m2) / r1:
  //   m' = d0 + r0 (d0 - d1) / (r0 + r1),  m'' = 2 (d0 - d1) / (r0 + r1)
  // The published code (solver_type dpmsolver) omits the factor 2, so its order is 2 instead of 3.
  const double r1 = (e1.at.lambda - e2.at.lambda) / step.h;
  const double p3 = (config.solver_type == "taylor" ? 2 : 1) * phi(3, step.k);
  const double of_d1 = -(p2 * r0 + p3) / (r0 + r1), of_d0 = p2 - of_d1;
  return combine({{step.decay, x},
                  {-step.gain * (p1 + of_d0 / r0), e0.m},
                  {step.gain * (of_d0 / r0 - of_d1 / r1), e1.m},
                  {step.gain * of_d1 / r1, e2.m}});
}

torch::Tensor multistep(const SamplerCall& call, ModelKind kind, torch::Tensor x) {
  const int64_t steps = call.config.steps;
  const auto times = call.times(steps);
  std::deque<Evaluation> history;
  for (int64_t i = 0; i < steps; ++i) {
    const auto s = knot(call.schedule, times[i]), t = knot(call.schedule, times[i + 1]);
    history.push_front({s, evaluate(call, kind, x, s)});
    if (static_cast<int64_t>(history.size()) > call.config.order) history.pop_back();
    const auto order = multistep_order(call.config, i, static_cast<int64_t>(history.size()));
    x = multistep_update(call.config, kind, x, history, t, order);
    const double noise = exponential_step(kind, s, t).noise;
    if (noise > 0) x = combine({{1, x}, {noise, call.noise_like(x)}});
    call.step_done(i + 1, steps, t.t, x);
  }
  return x;
}

torch::Tensor run(const SamplerCall& call, ModelKind kind, torch::Tensor x) {
  const auto& method = call.config.method;
  if (method == "multistep")
    x = multistep(call, kind, std::move(x));
  else if (method == "adaptive")
    x = dpm_solver_adaptive(call, kind, std::move(x));
  else
    x = dpm_solver_singlestep(call, kind, std::move(x));
  return call.to_zero ? predict_x0(call.predict_eps, call.schedule, x, call.t_end) : x;
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
