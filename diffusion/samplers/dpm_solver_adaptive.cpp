#include "diffusion/samplers/dpm_solver_adaptive.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "diffusion/samplers/dpm_solver_singlestep.h"

namespace uvic::diffusion {
namespace {

constexpr double kFirstStep = 0.05, kSafety = 0.9;  // in half_logsnr; both from the paper

struct Candidates {
  torch::Tensor lower, higher;
};

/// The lower-order and the higher-order result of a step, from the same evaluations.
Candidates attempt(
    const SamplerCall& call, ModelKind kind, const torch::Tensor& x, const Knot& s, const Knot& t) {
  const auto at = [&](double fraction) {
    return knot(call.schedule,
                call.schedule.inverse_half_logsnr(s.lambda + fraction * (t.lambda - s.lambda)));
  };
  const bool third = call.config.order == 3;
  const double r1 = third ? 1.0 / 3 : 0.5, r2 = 2.0 / 3;
  const auto s1 = at(r1);
  const auto m0 = evaluate(call, kind, x, s);
  const auto m1 = evaluate(call, kind, first_order(kind, x, m0, s, s1), s1);
  const auto second = second_order(call.config, kind, x, m0, m1, s, t, r1);
  if (!third) return {first_order(kind, x, m0, s, t), second};
  const auto s2 = at(r2);
  const auto m2 = evaluate(call, kind, third_order_stage(kind, x, m0, m1, s, s2, r1, r2), s2);
  return {second, third_order(call.config, kind, x, m0, m1, m2, s, t, r1, r2)};
}

}  // namespace

torch::Tensor dpm_solver_adaptive(const SamplerCall& call, ModelKind kind, torch::Tensor x) {
  const auto end = knot(call.schedule, call.t_end);
  auto s = knot(call.schedule, call.t_start);
  const double direction = end.lambda > s.lambda ? 1 : -1;
  double h = kFirstStep;
  auto previous = x;
  for (int64_t step = 1; s.t != end.t;) {
    const double left = std::abs(end.lambda - s.lambda);
    const auto t =
        h < left ? knot(call.schedule, call.schedule.inverse_half_logsnr(s.lambda + direction * h))
                 : end;
    h = std::min(h, left);
    const auto [lower, higher] = attempt(call, kind, x, s, t);
    const auto tolerance = (torch::maximum(lower.abs(), previous.abs()) * call.config.rtol)
                               .clamp_min(call.config.atol);
    const double error = ((higher - lower) / tolerance).square().mean().sqrt().item<double>();
    if (!std::isfinite(error) || h < 1e-9)
      throw std::runtime_error(
          fmt::format("dpm_solver adaptive: at t = {} the error is {} for a step of {}; the "
                      "denoiser is not smooth there; use another method",
                      s.t,
                      error,
                      h));
    if (error <= 1) {
      x = higher;
      previous = lower;
      s = t;
      call.step_done(step++, 0, t.t, x);
    }
    h *= kSafety * std::pow(std::max(error, 1e-12), -1.0 / call.config.order);
  }
  return x;
}

}  // namespace uvic::diffusion
