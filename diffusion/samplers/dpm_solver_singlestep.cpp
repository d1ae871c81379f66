#include "diffusion/samplers/dpm_solver_singlestep.h"

#include <numeric>

#include "diffusion/combine.h"
#include "diffusion/timestep_grid.h"

namespace uvic::diffusion {
namespace {

/// Start and end of each step.
std::vector<double> outer_times(const SamplerCall& call, const std::vector<int64_t>& orders) {
  // On the grid logsnr all steps have the same length (arXiv:2206.00927, section 3.4). On other
  // grids the length of a step is proportional to its number of evaluations.
  const auto count = static_cast<int64_t>(orders.size());
  if (call.grid == "logsnr" || call.config.method == "singlestep_fixed") return call.times(count);
  const auto fine = call.times(std::accumulate(orders.begin(), orders.end(), int64_t{0}));
  std::vector<double> times{fine.front()};
  int64_t position = 0;
  for (const auto order : orders) times.push_back(fine[position += order]);
  return times;
}

/// The points inside a step at which the model is evaluated, as fractions of h.
std::vector<double> fractions(const SamplerCall& call,
                              const Knot& s,
                              const Knot& t,
                              int64_t order) {
  std::vector<double> r(order, 0.0);
  const auto inner = timestep_grid(call.grid, call.schedule, s.t, t.t, order, call.config.rho);
  for (int64_t i = 1; i < order; ++i)
    r[i] = call.config.inner_grid == "logsnr"
               ? static_cast<double>(i) / order
               : (call.schedule.half_logsnr(inner[i]) - s.lambda) / (t.lambda - s.lambda);
  return r;
}

torch::Tensor singlestep_update(const SamplerCall& call,
                                ModelKind kind,
                                const torch::Tensor& x,
                                const Knot& s,
                                const Knot& t,
                                int64_t order) {
  const auto m0 = evaluate(call, kind, x, s);
  if (order == 1) return first_order(kind, x, m0, s, t);
  const auto r = fractions(call, s, t, order);
  const auto at = [&](double fraction) {
    return knot(call.schedule,
                call.schedule.inverse_half_logsnr(s.lambda + fraction * (t.lambda - s.lambda)));
  };
  const auto s1 = at(r[1]);
  const auto m1 = evaluate(call, kind, first_order(kind, x, m0, s, s1), s1);
  if (order == 2) return second_order(call.config, kind, x, m0, m1, s, t, r[1]);
  const auto s2 = at(r[2]);
  const auto m2 = evaluate(call, kind, third_order_stage(kind, x, m0, m1, s, s2, r[1], r[2]), s2);
  return third_order(call.config, kind, x, m0, m1, m2, s, t, r[1], r[2]);
}

}  // namespace

std::vector<int64_t> singlestep_orders(const SamplerConfig& config) {
  const int64_t order = config.order;
  std::vector<int64_t> orders(config.steps / order, order);
  const int64_t rest = config.steps % order;
  if (config.method == "singlestep_fixed") return orders;
  if (rest > 0) orders.push_back(rest);
  if (order == 3 && rest == 0) {  // ends in 2, 1, for stability
    orders.back() = 2;
    orders.push_back(1);
  }
  return orders;
}

torch::Tensor dpm_solver_singlestep(const SamplerCall& call, ModelKind kind, torch::Tensor x) {
  const auto orders = singlestep_orders(call.config);
  const auto times = outer_times(call, orders);
  for (size_t i = 0; i < orders.size(); ++i) {
    const auto s = knot(call.schedule, times[i]), t = knot(call.schedule, times[i + 1]);
    x = singlestep_update(call, kind, x, s, t, orders[i]);
    call.step_done(i + 1, orders.size(), t.t, x);
  }
  return x;
}

torch::Tensor second_order(const SamplerConfig& config,
                           ModelKind kind,
                           const torch::Tensor& x,
                           const torch::Tensor& m0,
                           const torch::Tensor& m1,
                           const Knot& s,
                           const Knot& t,
                           double r1) {
  const auto step = exponential_step(kind, s, t);
  const double p1 = phi(1, step.k);
  const double c = (config.solver_type == "taylor" ? phi(2, step.k) : p1 / 2) / r1;
  return combine({{step.decay, x}, {-step.gain * (p1 - c), m0}, {-step.gain * c, m1}});
}

torch::Tensor third_order_stage(ModelKind kind,
                                const torch::Tensor& x,
                                const torch::Tensor& m0,
                                const torch::Tensor& m1,
                                const Knot& s,
                                const Knot& s2,
                                double r1,
                                double r2) {
  const auto step = exponential_step(kind, s, s2);
  const double c = phi(2, step.k) * r2 / r1;
  return combine({{step.decay, x}, {-step.gain * (phi(1, step.k) - c), m0}, {-step.gain * c, m1}});
}

torch::Tensor third_order(const SamplerConfig& config,
                          ModelKind kind,
                          const torch::Tensor& x,
                          const torch::Tensor& m0,
                          const torch::Tensor& m1,
                          const torch::Tensor& m2,
                          const Knot& s,
                          const Knot& t,
                          double r1,
                          double r2) {
  const auto step = exponential_step(kind, s, t);
  const double p1 = phi(1, step.k), p2 = phi(2, step.k);
  double c1 = 0, c2 = p2 / r2;  // weights of m1 - m0 and m2 - m0
  if (config.solver_type == "taylor") {
    const double p3 = 2 * phi(3, step.k);
    c1 = (p2 * r2 - p3) / (r1 * (r2 - r1));
    c2 = (p3 - p2 * r1) / (r2 * (r2 - r1));
  }
  return combine({{step.decay, x},
                  {-step.gain * (p1 - c1 - c2), m0},
                  {-step.gain * c1, m1},
                  {-step.gain * c2, m2}});
}

}  // namespace uvic::diffusion
