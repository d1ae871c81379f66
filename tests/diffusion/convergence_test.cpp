// Deterministic samplers converge at the order that theory gives: slope of log error against log steps.
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "diffusion/sampler.h"
#include "tests/diffusion/mixture.h"
#include "tests/support/catch.h"

using namespace uvic::diffusion;

namespace {

/// The ODE dy/dlambda = x0(y, lambda) - y, y = x / alpha, by the classical Runge-Kutta method: error below 1e-12.
torch::Tensor exact_solution(const uvic::test::Mixture& mixture,
                             const NoiseSchedule& schedule,
                             const torch::Tensor& x_T,
                             double t_start,
                             double t_end) {
  const int steps = 8000;
  const double first = schedule.half_logsnr(t_start), h = (schedule.half_logsnr(t_end) - first) / steps;
  auto pixels = (x_T / schedule.alpha(t_start)).permute({0, 2, 3, 1}).contiguous();
  const auto slope = [&](double lambda, const double* y, double* dy) {
    const double t = schedule.inverse_half_logsnr(lambda), alpha = schedule.alpha(t);
    const double x[2] = {alpha * y[0], alpha * y[1]};
    mixture.eps(x, alpha, schedule.sigma(t), dy);
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
  const char* sampler;
  const char* method;
  int64_t order;
  const char* solver_type;
  double theory;
  std::vector<int64_t> steps;
};

}  // namespace

TEST_CASE("explore") {
  const auto schedule = make_noise_schedule({});
  const uvic::test::Mixture mixture;
  const auto denoiser = mixture.denoiser(*schedule);
  NoiseSource source({5});
  const auto x_T = source.draw(2, 3, 3).to(torch::kFloat64);
  for (const double t_start : {1.0, 0.5})
  for (const double t_end : {1e-3, 0.03}) {
    const auto exact = exact_solution(mixture, *schedule, x_T, t_start, t_end);
    fmt::print("t_start {} t_end {}\n", t_start, t_end);
    std::vector<Case> cases = {
        {"ddim", "multistep", 1, "dpmsolver", 1, {}},
        {"euler", "multistep", 1, "dpmsolver", 1, {}},
        {"heun", "multistep", 2, "dpmsolver", 2, {}},
    };
    for (const char* s : {"dpm_solver", "dpm_solver_pp"})
      for (const char* m : {"multistep", "singlestep_fixed"})
        for (int64_t o : {1, 2, 3})
          for (const char* k : {"dpmsolver", "taylor"}) cases.push_back({s, m, o, k, double(o), {}});
    for (int64_t o : {1, 2, 3}) cases.push_back({"unipc", "multistep", o, "bh1", o + 1.0, {}});
    for (int64_t o : {1, 2, 3}) cases.push_back({"unipc", "multistep", o, "bh2", o + 1.0, {}});
    for (const auto& c : cases) {
      SamplerConfig config;
      config.sampler = c.sampler;
      config.method = c.method;
      config.order = c.order;
      if (std::string(c.sampler) == "unipc") config.unipc_variant = c.solver_type;
      else config.solver_type = c.solver_type;
      config.grid = std::string(c.sampler) == "euler" ? "uniform" : std::string(c.sampler) == "heun" ? "karras" : "logsnr";
      config.last_step = "t_end";
      config.lower_order_final = "never";
      config.t_start = t_start;
      config.t_end = t_end;
      std::vector<double> errors;
      std::string line = fmt::format("{:14} {:17} {} {:10}", c.sampler, c.method, c.order, c.solver_type);
      for (const int64_t n : {30, 60, 120, 240, 480, 960}) {
        config.steps = n;
        NoiseSource none({1});
        const auto x = sample(denoiser, *schedule, config, x_T, none);
        errors.push_back((x - exact).norm().item<double>());
        if (errors.size() > 1) line += fmt::format(" {:.1e} ({:.2f})", errors.back(), std::log2(errors[errors.size() - 2] / errors.back()));
      }
      fmt::print("{}\n", line);
    }
  }
}
