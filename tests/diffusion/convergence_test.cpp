// Deterministic samplers converge at the order that theory gives: slope of log error against log
// steps.
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "diffusion/noise.h"
#include "diffusion/noise_schedule.h"
#include "diffusion/sampler.h"
#include "tests/diffusion/mixture.h"
#include "tests/support/catch.h"

using namespace uvic::diffusion;

namespace {

/// The ODE dy/dlambda = x0(y, lambda) - y, y = x / alpha, by the classical Runge-Kutta method:
/// error below 1e-12.
torch::Tensor exact_solution(const uvic::test::Mixture& mixture,
                             const NoiseSchedule& schedule,
                             const torch::Tensor& x_T,
                             double t_start,
                             double t_end) {
  const int steps = 8000;
  const double first = schedule.half_logsnr(t_start),
               h = (schedule.half_logsnr(t_end) - first) / steps;
  auto pixels = (x_T / schedule.alpha(t_start)).permute({0, 2, 3, 1}).contiguous();
  const auto slope = [&](double lambda, const double* y, double* dy) {
    const double t = schedule.inverse_half_logsnr(lambda), alpha = schedule.alpha(t);
    const double x[2] = {alpha * y[0], alpha * y[1]};
    uvic::test::Mixture::Predictor(mixture, alpha, schedule.sigma(t))(x, dy);
    for (int c = 0; c < 2; ++c) dy[c] *= -std::exp(-lambda);
  };
  for (int64_t i = 0; i < pixels.numel(); i += 2) {
    double* y = pixels.data_ptr<double>() + i;
    for (int n = 0; n < steps; ++n) {
      const double lambda = first + n * h;
      double k1[2], k2[2], k3[2], k4[2], at[2];
      slope(lambda, y, k1);
      for (int c = 0; c < 2; ++c) at[c] = y[c] + h / 2 * k1[c];
      slope(lambda + h / 2, at, k2);
      for (int c = 0; c < 2; ++c) at[c] = y[c] + h / 2 * k2[c];
      slope(lambda + h / 2, at, k3);
      for (int c = 0; c < 2; ++c) at[c] = y[c] + h * k3[c];
      slope(lambda + h, at, k4);
      for (int c = 0; c < 2; ++c) y[c] += h / 6 * (k1[c] + 2 * k2[c] + 2 * k3[c] + k4[c]);
    }
  }
  return schedule.alpha(t_end) * pixels.permute({0, 3, 1, 2}).contiguous();
}

struct Case {
  SamplerConfig config;
  std::vector<int64_t>
      steps;  // where the asymptotic regime has begun and float64 still resolves the error
  double theory;
};

SamplerConfig solver(const char* sampler,
                     const char* method,
                     int64_t order,
                     const char* solver_type = "dpmsolver") {
  SamplerConfig c;
  c.sampler = sampler;
  c.method = method;
  c.order = order;
  c.solver_type = solver_type;
  c.grid = "logsnr";
  c.lower_order_final = "never";
  return c;
}

/// Slope of log2(error) against log2(steps), least squares.
double measured_order(const Case& test) {
  static const auto schedule = make_noise_schedule({});
  static const uvic::test::Mixture mixture;
  static const double t_start = 1, t_end = 0.03;
  static const auto x_T = NoiseSource({5}).next(2, 3, 3).to(torch::kFloat64);
  static const auto exact = exact_solution(mixture, *schedule, x_T, t_start, t_end);
  auto config = test.config;
  config.last_step = "t_end";
  config.t_start = t_start;
  config.t_end = t_end;
  double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
  for (const auto steps : test.steps) {
    config.steps = steps;
    NoiseSource unused({0});
    const auto error = sample(mixture.denoiser(*schedule), *schedule, config, x_T, unused) - exact;
    const double x = std::log2(static_cast<double>(steps)),
                 y = std::log2(error.norm().item<double>());
    n += 1, sx += x, sy += y, sxx += x * x, sxy += x * y;
  }
  return -(n * sxy - sx * sy) / (n * sxx - sx * sx);
}

void check_order(const Case& test) {
  const double order = measured_order(test);
  INFO(test.config.sampler << " " << test.config.method << " " << test.config.order << " "
                           << test.config.solver_type << ": measured " << order << ", theory "
                           << test.theory);
  CHECK(std::abs(order - test.theory) < 0.15);
}

const std::vector<int64_t> kSteps = {120, 240, 480, 960};

}  // namespace

TEST_CASE("first-order samplers converge at order 1", "[convergence]") {
  auto ddim = solver("ddim", "multistep", 1);
  check_order({ddim, kSteps, 1});
  auto euler = solver("euler", "multistep", 1);
  euler.grid = "uniform";
  check_order({euler, kSteps, 1});
}

TEST_CASE("Heun converges at order 2", "[convergence]") {
  auto heun = solver("heun", "multistep", 2);
  heun.grid = "karras";
  check_order({heun, kSteps, 2});
}

TEST_CASE("DPM-Solver and DPM-Solver++ of order p converge at order p", "[convergence]") {
  for (const char* sampler : {"dpm_solver", "dpm_solver_pp"})
    for (const char* type : {"dpmsolver", "taylor"}) {
      check_order({solver(sampler, "multistep", 1, type), kSteps, 1});
      check_order({solver(sampler, "multistep", 2, type), kSteps, 2});
      for (int64_t order = 1; order <= 3; ++order)
        check_order({solver(sampler, "singlestep_fixed", order, type),
                     {240, 480, 960},
                     static_cast<double>(order)});
    }
}

TEST_CASE(
    "multistep DPM-Solver of order 3 is of order 3 with exact coefficients, of order 2 as "
    "published",
    "[convergence]") {
  for (const char* sampler : {"dpm_solver", "dpm_solver_pp"}) {
    check_order({solver(sampler, "multistep", 3, "taylor"), kSteps, 3});
    check_order({solver(sampler, "multistep", 3, "dpmsolver"), {240, 480, 960}, 2});
  }
}

TEST_CASE("DPM-Solver-fast is of order 3, but of order 2 where it ends in a first-order step",
          "[convergence]") {
  check_order({solver("dpm_solver", "singlestep", 3), {239, 479, 959}, 3});  // 3 ... 3, 2
  check_order({solver("dpm_solver", "singlestep", 3), {9601, 19201}, 2});    // 3 ... 3, 1
}

TEST_CASE("UniPC-p, with its corrector, converges at order p + 1", "[convergence]") {
  for (const char* variant : {"bh1", "bh2"})
    for (int64_t order = 1; order <= 3; ++order) {
      auto config = solver("unipc", "multistep", order);
      config.unipc_variant = variant;
      check_order(
          {config, order == 3 ? std::vector<int64_t>{480, 960, 1920} : kSteps, order + 1.0});
    }
}

TEST_CASE("the adaptive solver's error follows its tolerance at a cost that grows slowly",
          "[convergence]") {
  const auto schedule = make_noise_schedule({});
  const uvic::test::Mixture mixture;
  const auto x_T = NoiseSource({5}).next(2, 3, 3).to(torch::kFloat64);
  const auto exact = exact_solution(mixture, *schedule, x_T, 1, 1e-3);
  double last_error = 1e9;
  int64_t last_calls = 0;
  for (const double tolerance : {1e-2, 1e-4, 1e-6}) {
    auto config = solver("dpm_solver_pp", "adaptive", 3);
    config.t_end = 1e-3;
    config.atol = config.rtol = tolerance;
    int64_t calls = 0;
    const auto exact_denoiser = mixture.denoiser(*schedule);
    const Denoiser counting = [&](const torch::Tensor& x, double t) {
      return ++calls, exact_denoiser(x, t);
    };
    NoiseSource unused({0});
    const double error =
        (sample(counting, *schedule, config, x_T, unused) - exact).abs().max().item<double>();
    INFO("tolerance " << tolerance << ", error " << error << ", calls " << calls);
    CHECK(error < 30 * tolerance);
    CHECK(error < last_error / 10);
    CHECK(calls > last_calls);
    CHECK(calls < 1500);
    last_error = error;
    last_calls = calls;
  }
}
