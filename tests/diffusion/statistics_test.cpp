// Stochastic samplers reproduce the mean and covariance of a known mixture over 100,000 samples.
#include <fmt/format.h>

#include "diffusion/noise.h"
#include "diffusion/sampler.h"
#include "tests/diffusion/mixture.h"
#include "tests/support/catch.h"

using namespace uvic::diffusion;

namespace {

/// The largest error of mean and covariance, in standard errors of 100,000 samples.
double worst_error(const SamplerConfig& config, const std::string& schedule_name = "vp_linear") {
  DiffusionConfig diffusion;
  diffusion.schedule = schedule_name;
  const auto schedule = make_noise_schedule(diffusion);
  const uvic::test::Mixture mixture;
  NoiseSource noise({11});  // one image whose 250 x 400 pixels are independent samples
  const auto x_T = initial_noise(*schedule, config, noise, 2, 250, 400);
  const auto x = sample(mixture.fast_denoiser(*schedule), *schedule, config, x_T, noise);
  const auto samples = x.to(torch::kFloat64).view({2, -1});  // [C, N]
  const double n = static_cast<double>(samples.size(1));
  const auto mean = samples.mean(1);
  const auto centered = samples - mean.unsqueeze(1);
  const auto products = centered.unsqueeze(1) * centered.unsqueeze(0);  // [C, C, N]
  const auto covariance = products.mean(2);
  const auto mean_error = (mean - mixture.exact_mean()) / (covariance.diag() / n).sqrt();
  const auto covariance_error =
      (covariance - mixture.exact_covariance()) / (products.var(2) / n).sqrt();
  return std::max(mean_error.abs().max().item<double>(),
                  covariance_error.abs().max().item<double>());
}

SamplerConfig of_steps(const char* sampler, int64_t steps) {
  SamplerConfig c;
  c.sampler = sampler;
  c.steps = steps;
  return c;
}

constexpr double kStandardErrors =
    4;  // five numbers a test; chance alone exceeds it in 1 of 3000 tests

}  // namespace

TEST_CASE("ddpm reproduces the mixture, with the small variance and the large", "[statistics]") {
  auto ddpm = of_steps("ddpm", 1000);
  ddpm.grid = "logsnr";
  CHECK(worst_error(ddpm) < kStandardErrors);
  ddpm.ddpm_variance = "large";
  CHECK(worst_error(ddpm) < kStandardErrors);
}

TEST_CASE("ddim with eta = 1/2 reproduces the mixture", "[statistics]") {
  auto ddim = of_steps("ddim", 500);
  ddim.grid = "logsnr";
  ddim.eta = 0.5;
  CHECK(worst_error(ddim) < kStandardErrors);
}

TEST_CASE("Euler-Maruyama reproduces the mixture", "[statistics]") {
  CHECK(worst_error(of_steps("euler_maruyama", 1000)) < kStandardErrors);
}

TEST_CASE("SDE-DPM-Solver++ reproduces the mixture in every order", "[statistics]") {
  auto sde = of_steps("dpm_solver_pp_sde", 100);
  sde.grid = "logsnr";
  sde.last_step = "zero";
  sde.solver_type = "taylor";
  for (int64_t order = 1; order <= 3; ++order) {
    sde.order = order;
    sde.steps = order == 1 ? 1000 : 150;
    INFO("order " << order);
    CHECK(worst_error(sde) < kStandardErrors);
  }
}

TEST_CASE("Heun with churn reproduces the mixture, on VP and on EDM's schedule", "[statistics]") {
  auto heun = of_steps("heun", 200);
  heun.s_churn = 20;
  CHECK(worst_error(heun) < kStandardErrors);
  heun.s_tmin = 0.05;
  heun.s_tmax = 50;
  CHECK(worst_error(heun, "edm") < kStandardErrors);
}

TEST_CASE("rectified flow is sampled by ODE and by SDE", "[statistics]") {
  auto ode = of_steps("dpm_solver_pp", 60);
  ode.grid = "logsnr";
  ode.last_step = "zero";
  CHECK(worst_error(ode, "rectified_flow") < kStandardErrors);
  auto sde = of_steps("dpm_solver_pp_sde", 150);
  sde.grid = "logsnr";
  sde.last_step = "zero";
  CHECK(worst_error(sde, "rectified_flow") < kStandardErrors);
}
