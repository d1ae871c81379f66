#include "diffusion/noise_schedule.h"

#include <cmath>

#include "diffusion/timestep_grid.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::diffusion;
using uvic::test::AllClose;

namespace {

const std::vector<std::string> kAll = {"vp_linear",
                                       "vp_cosine",
                                       "ddpm_linear",
                                       "ddpm_cosine",
                                       "scaled_linear",
                                       "edm",
                                       "rectified_flow"};
const std::vector<std::string> kSmooth = {"vp_linear", "vp_cosine", "edm", "rectified_flow"};

std::shared_ptr<const NoiseSchedule> schedule_of(const std::string& name) {
  DiffusionConfig config;
  config.schedule = name;
  return make_noise_schedule(config);
}

std::vector<double> some_times(const NoiseSchedule& schedule) {
  return timestep_grid("logsnr", schedule, schedule.t_max(), schedule.t_min(), 37);
}

}  // namespace

TEST_CASE("variance-preserving schedules keep alpha^2 + sigma^2 = 1", "[schedule]") {
  for (const char* name :
       {"vp_linear", "vp_cosine", "ddpm_linear", "ddpm_cosine", "scaled_linear"}) {
    const auto s = schedule_of(name);
    for (const double t : some_times(*s))
      CHECK(s->alpha(t) * s->alpha(t) + s->sigma(t) * s->sigma(t) == Approx(1).epsilon(1e-14));
  }
}

TEST_CASE("half_logsnr falls with t and its inverse finds t again", "[schedule]") {
  for (const auto& name : kAll) {
    const auto s = schedule_of(name);
    INFO(name);
    double last = -1e9;
    for (const double t : some_times(*s)) {  // t falls
      const double lambda = s->half_logsnr(t);
      CHECK(lambda > last);
      CHECK(s->inverse_half_logsnr(lambda) == Approx(t).epsilon(1e-10));
      last = lambda;
    }
  }
}

TEST_CASE("tensors follow the same formula as scalars", "[schedule]") {
  for (const auto& name : kAll) {
    const auto s = schedule_of(name);
    INFO(name);
    const auto times = some_times(*s);
    const auto t = torch::tensor(times, torch::kFloat64);
    const auto check = [&](const torch::Tensor& ours, auto scalar) {
      std::vector<double> expected;
      for (const double v : times) expected.push_back(scalar(v));
      CHECK_THAT(ours, AllClose(torch::tensor(expected, torch::kFloat64), 1e-12, 1e-300));
    };
    check(s->alpha(t), [&](double v) { return s->alpha(v); });
    check(s->sigma(t), [&](double v) { return s->sigma(v); });
    check(s->half_logsnr(t), [&](double v) { return s->half_logsnr(v); });
    check(s->network_time(t), [&](double v) { return s->network_time(v); });
    check(s->input_scale(t), [&](double v) { return s->input_scale(v); });
    const auto lambda = s->half_logsnr(t);
    CHECK_THAT(s->inverse_half_logsnr(lambda), AllClose(t, 1e-9, 0));
  }
}

TEST_CASE("drift and diffusion are the derivatives that keep the marginals", "[schedule]") {
  for (const auto& name : kSmooth) {
    const auto s = schedule_of(name);
    INFO(name);
    for (const double u : {0.1, 0.4, 0.7}) {
      const double t = s->t_min() + u * (s->t_max() - s->t_min()), h = 1e-5 * t;
      const double f = (s->log_alpha(t + h) - s->log_alpha(t - h)) / (2 * h);
      const double rate = (s->half_logsnr(t + h) - s->half_logsnr(t - h)) / (2 * h);
      CHECK(s->drift_rate(t) == Approx(f).epsilon(1e-6).margin(1e-9));
      CHECK(s->squared_diffusion(t) == Approx(-2 * s->sigma(t) * s->sigma(t) * rate).epsilon(1e-6));
    }
  }
}

TEST_CASE("vp_linear is U-ViT's: beta from 0.1 to 20, the network fed t * 999", "[schedule]") {
  const auto s = schedule_of("vp_linear");
  CHECK(s->alpha(1) == Approx(std::exp(-0.25 * 19.9 - 0.05)).epsilon(1e-14));
  CHECK(s->sigma(0) == 0);
  CHECK(s->network_time(0.5) == 499.5);
  // sigma keeps its digits where 1 - alpha^2 would lose them: sigma^2 -> beta_0 t
  CHECK(s->sigma(1e-12) * s->sigma(1e-12) == Approx(1e-13).epsilon(1e-9));
}

TEST_CASE("discrete schedules hold the product of 1 - beta at t = n / N", "[schedule]") {
  const std::vector<double> betas = {0.1, 0.2, 0.3, 0.25};
  const auto s = make_discrete_schedule(betas);
  double product = 1;
  for (int n = 1; n <= 4; ++n) {
    product *= 1 - betas[n - 1];
    CHECK(s->alpha(n / 4.0) == Approx(std::sqrt(product)).epsilon(1e-14));
    CHECK(s->network_time(n / 4.0) == n);
  }
  CHECK(s->alpha(0) == 1);
  CHECK(s->t_min() == 0.25);
  CHECK(s->t_max() == 1);
  // ... and log alpha is linear in between
  CHECK(s->log_alpha(0.6) ==
        Approx(0.6 * s->log_alpha(0.5) + 0.4 * s->log_alpha(0.75)).epsilon(1e-14));
}

TEST_CASE("tensor operations alone find a discrete schedule's times", "[schedule]") {
  for (const char* name : {"ddpm_linear", "ddpm_cosine", "scaled_linear"}) {
    const auto s = schedule_of(name);
    INFO(name);
    constexpr int64_t kSteps = 1000;
    const auto n = torch::arange(kSteps + 1, torch::kFloat64);
    // Beyond both ends, between the entries and, to rounding, on them.
    const auto lambda = torch::cat({torch::linspace(-8, 8, 3001, torch::kFloat64),
                                    s->half_logsnr(n.slice(0, 1, 900) / kSteps)});
    const auto found = position_in_table(s->log_alpha(n / kSteps), lambda) / kSteps;
    CHECK_THAT(found, AllClose(s->inverse_half_logsnr(lambda), 1e-12, 1e-15));
  }
}

TEST_CASE("Stable Diffusion's schedule ends at alpha_bar = 0.0047", "[schedule]") {
  const auto s = schedule_of("scaled_linear");
  CHECK(std::pow(s->alpha(1), 2) == Approx(0.004660).epsilon(1e-3));
  CHECK(std::pow(s->alpha(1e-3), 2) == Approx(1 - 0.00085).epsilon(1e-12));
  CHECK(s->network_time(1) == 1000);
}

TEST_CASE("ddpm_linear has betas from 1e-4 to 0.02", "[schedule]") {
  const auto s = schedule_of("ddpm_linear");
  CHECK(std::pow(s->alpha(1e-3), 2) == Approx(1 - 1e-4).epsilon(1e-12));
  CHECK(std::pow(s->alpha(1.0) / s->alpha(0.999), 2) == Approx(1 - 0.02).epsilon(1e-10));
}

TEST_CASE("the cosine DDPM schedule starts where float32 still resolves the signal", "[schedule]") {
  const auto s = schedule_of("ddpm_cosine");
  CHECK(s->t_max() < 1);
  CHECK(s->half_logsnr(s->t_max()) >= -5.1);
  CHECK(s->half_logsnr(s->t_max() + 1e-3) < -5.1);
}

TEST_CASE("EDM's network input has unit variance for data of sigma_data", "[schedule]") {
  const auto s = schedule_of("edm");
  for (const double sigma : {0.002, 0.5, 80.0}) {
    CHECK(s->input_scale(sigma) * std::sqrt(0.25 + sigma * sigma) == Approx(1));
    CHECK(s->prior_std(sigma) == sigma);
    CHECK(s->network_time(sigma) == Approx(1000 * std::log(sigma) / 4));
  }
}

TEST_CASE("time_scale and time_offset feed networks trained otherwise", "[schedule]") {
  DiffusionConfig config;
  config.schedule = "scaled_linear";
  config.time_offset = -1;  // n in 0..999
  CHECK(make_noise_schedule(config)->network_time(1) == 999);
  config.schedule = "vp_linear";
  config.time_scale = 1;
  config.time_offset = 0;
  CHECK(make_noise_schedule(config)->network_time(0.25) == 0.25);
}

TEST_CASE("grids run exactly from start to end, evenly in their own variable", "[schedule]") {
  const auto s = schedule_of("vp_linear");
  const auto even = [](const std::vector<double>& v) {
    for (size_t i = 0; i + 2 < v.size(); ++i)
      CHECK(v[i + 1] - v[i] == Approx(v[i + 2] - v[i + 1]).epsilon(1e-6));
  };
  for (const char* name : {"uniform", "quadratic", "logsnr", "karras"})
    for (const bool upwards : {false, true}) {
      const auto t =
          upwards ? timestep_grid(name, *s, 1e-3, 1, 9) : timestep_grid(name, *s, 1, 1e-3, 9);
      REQUIRE(t.size() == 10);
      CHECK(t.front() == (upwards ? 1e-3 : 1));
      CHECK(t.back() == (upwards ? 1 : 1e-3));
      std::vector<double> warped;
      for (const double v : t)
        warped.push_back(name[0] == 'u'   ? v
                         : name[0] == 'q' ? std::sqrt(v)
                         : name[0] == 'l' ? s->half_logsnr(v)
                                          : std::pow(s->sigma(v) / s->alpha(v), 1.0 / 7));
      even(warped);
    }
  CHECK_THROWS_AS(timestep_grid("cubic", *s, 1, 1e-3, 9), std::invalid_argument);
  CHECK_THROWS_AS(timestep_grid("uniform", *s, 1, 1e-3, 0), std::invalid_argument);
}

TEST_CASE("a config that contradicts itself is refused by name", "[schedule]") {
  const auto refuses = [](auto change) {
    DiffusionConfig config;
    change(config);
    CHECK_THROWS_AS(make_noise_schedule(config), std::invalid_argument);
  };
  refuses([](auto& c) { c.schedule = "linear"; });
  refuses([](auto& c) { c.prediction = "noise"; });
  refuses([](auto& c) { c.loss_weight = "p2"; });
  refuses([](auto& c) { c.timestep_sampling = "often"; });
  refuses([](auto& c) { c.beta_0 = 20, c.beta_1 = 0.1; });
  refuses([](auto& c) { c.diffusion_steps = 1; });
  refuses([](auto& c) { c.sigma_min = 100; });
  refuses([](auto& c) { c.sigma_data = 0; });
  refuses([](auto& c) { c.cosine_s = 0; });
  refuses([](auto& c) { c.min_snr_gamma = 0; });
  refuses([](auto& c) { c.logit_std = 0; });
  refuses([](auto& c) { c.time_scale = -1; });
  CHECK_THROWS_AS(make_discrete_schedule({0.1}), std::invalid_argument);
  CHECK_THROWS_AS(make_discrete_schedule({0.1, 1.0}), std::invalid_argument);
}
