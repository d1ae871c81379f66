#include "diffusion/objective.h"

#include <cmath>

#include "diffusion/denoiser.h"
#include "diffusion/prediction.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::diffusion;
using uvic::test::AllClose;

namespace {

uvic::base::PositionRandom random_of(uint64_t seed, int64_t count, int64_t first = 0) {
  return {seed, torch::arange(first, first + count, torch::kInt64)};
}

DiffusionConfig config_of(const std::string& schedule, const std::string& prediction = "eps") {
  DiffusionConfig config;
  config.schedule = schedule;
  config.prediction = prediction;
  return config;
}

torch::Tensor times(DiffusionConfig config, const std::string& kind, int64_t count) {
  config.timestep_sampling = kind;
  return sample_training_times(config, *make_noise_schedule(config), random_of(3, count), count);
}

const std::vector<std::string> kPredictions = {"eps", "x0", "v", "flow", "edm"};

}  // namespace

TEST_CASE("a training example is a function of seed and position, not of its batch",
          "[objective]") {
  for (const char* times : {"uniform", "stratified", "low_discrepancy", "logit_normal"}) {
    INFO(times);
    auto config = config_of("vp_linear");
    config.timestep_sampling = times;
    const auto schedule = make_noise_schedule(config);
    const auto x0 = torch::rand({4, 3, 8, 8}) * 2 - 1;
    const auto a = make_training_example(config, *schedule, x0, random_of(7, 4, 10), 8);
    const auto alone =
        make_training_example(config, *schedule, x0.slice(0, 2, 3), random_of(7, 1, 12), 8);
    CHECK(torch::equal(alone.x_t[0], a.x_t[2]));
    CHECK(torch::equal(alone.target[0], a.target[2]));
    CHECK(torch::equal(alone.network_time[0], a.network_time[2]));
    const auto c = make_training_example(config, *schedule, x0, random_of(8, 4, 10), 8);
    CHECK_FALSE(torch::equal(a.x_t, c.x_t));
  }
}

TEST_CASE("x_t is alpha x0 + sigma eps at the time that the network reads", "[objective]") {
  const auto config = config_of("vp_linear");
  const auto schedule = make_noise_schedule(config);
  const auto x0 = torch::rand({16, 3, 8, 8}) * 2 - 1;
  const auto e = make_training_example(config, *schedule, x0, random_of(7, x0.size(0)), x0.size(0));
  const auto t = e.network_time.to(torch::kFloat64) / 999;
  CHECK(t.min().item<double>() >= 0);
  CHECK(t.max().item<double>() < 1);
  const auto column = [](const torch::Tensor& v) { return v.view({-1, 1, 1, 1}); };
  const auto x_t = column(schedule->alpha(t)) * x0 + column(schedule->sigma(t)) * e.target;
  CHECK_THAT(e.x_t, AllClose(x_t, 0, 1e-5));
  CHECK(e.target.std().item<double>() == Approx(1).margin(0.05));
  CHECK(torch::equal(e.weight, torch::ones({16})));
  CHECK(e.x_t.scalar_type() == torch::kFloat32);
  CHECK(e.network_time.scalar_type() == torch::kFloat32);
}

TEST_CASE("x0 must be float32 and of four dimensions", "[objective]") {
  const auto config = config_of("vp_linear");
  const auto schedule = make_noise_schedule(config);
  CHECK_THROWS_AS(
      make_training_example(config, *schedule, torch::zeros({2, 3}), random_of(1, 2), 2),
      std::invalid_argument);
  CHECK_THROWS_AS(
      make_training_example(
          config, *schedule, torch::zeros({2, 3, 4, 4}, torch::kUInt8), random_of(1, 2), 2),
      std::invalid_argument);
}

TEST_CASE("losses are means over pixels, weighted, one for each image, in float32", "[objective]") {
  TrainingExample example;
  example.target = torch::zeros({2, 1, 1, 2});
  example.weight = torch::tensor({1.f, 10.f});
  const auto prediction =
      torch::tensor({1.f, 3.f, 2.f, 0.f}).view({2, 1, 1, 2}).to(torch::kBFloat16).requires_grad_();
  const auto losses = diffusion_losses({}, prediction, example);
  CHECK(losses.scalar_type() == torch::kFloat32);
  CHECK(torch::equal(losses, torch::tensor({5.f, 20.f})));
  losses.mean().backward();
  CHECK(prediction.grad()[0].flatten()[1].item<double>() == Approx(2 * 3.0 / 2 / 2));
  CHECK_THROWS_AS(diffusion_losses({}, torch::zeros({2, 1, 2, 1}), example), std::invalid_argument);
}

TEST_CASE("the exact answer has no loss, whatever is predicted on whatever schedule",
          "[objective]") {
  for (const char* schedule_name :
       {"vp_linear", "vp_cosine", "scaled_linear", "edm", "rectified_flow"})
    for (const auto& prediction : kPredictions) {
      INFO(schedule_name << " " << prediction);
      const auto config = config_of(schedule_name, prediction);
      const auto schedule = make_noise_schedule(config);
      const auto x0 = torch::rand({6, 2, 4, 4}) * 2 - 1;
      const auto e =
          make_training_example(config, *schedule, x0, random_of(5, x0.size(0)), x0.size(0));
      CHECK(diffusion_losses(config, e.target, e).sum().item<double>() == 0);
      // A network that answers with the target makes a denoiser that knows the noise.
      const double t = schedule->time_at_fraction(0.4), alpha = schedule->alpha(t),
                   sigma = schedule->sigma(t);
      const auto eps = torch::randn_like(x0), x_t = alpha * x0 + sigma * eps;
      const auto kind = parse_prediction(prediction);
      const auto target = make_target(kind,
                                      x0,
                                      eps,
                                      torch::full({1}, alpha, torch::kFloat64),
                                      torch::full({1}, sigma, torch::kFloat64),
                                      config.sigma_data);
      const auto denoiser = make_denoiser(
          [&](const torch::Tensor& x, const torch::Tensor& time) {
            CHECK_THAT(x, AllClose(x_t * schedule->input_scale(t), 1e-6, 1e-6));
            CHECK_THAT(time, AllClose(torch::full({6}, schedule->network_time(t)), 1e-6, 0));
            return target;
          },
          schedule,
          config);
      CHECK_THAT(denoiser(x_t, t), AllClose(eps, 1e-3, 1e-3));
      CHECK_THAT(x0_from(kind, target, x_t, alpha, sigma, config.sigma_data),
                 AllClose(x0, 1e-3, 1e-3));
    }
}

TEST_CASE("predictions convert into each other and back", "[prediction]") {
  const auto x0 = torch::randn({2, 1, 3, 3}, torch::kFloat64), eps = torch::randn_like(x0);
  for (const auto& [alpha, sigma] : {std::pair{0.9, 0.43589},
                                     std::pair{0.1, 0.99499},
                                     std::pair{1.0, 12.0},
                                     std::pair{0.3, 0.7}}) {
    const auto x_t = alpha * x0 + sigma * eps;
    const auto a = torch::full({1}, alpha, torch::kFloat64),
               s = torch::full({1}, sigma, torch::kFloat64);
    for (const auto& from : kPredictions)
      for (const auto& to : kPredictions) {
        INFO(from << " to " << to);
        const auto p = make_target(parse_prediction(from), x0, eps, a, s, 0.5);
        const auto q = make_target(parse_prediction(to), x0, eps, a, s, 0.5);
        CHECK_THAT(convert_prediction(
                       parse_prediction(from), parse_prediction(to), p, x_t, alpha, sigma, 0.5),
                   AllClose(q, 1e-9, 1e-9));
      }
  }
}

TEST_CASE("v, flow and edm are what their papers define", "[prediction]") {
  const auto x0 = torch::randn({1, 1, 2, 2}, torch::kFloat64), eps = torch::randn_like(x0);
  const auto at = [](double v) { return torch::full({1}, v, torch::kFloat64); };
  CHECK_THAT(make_target(Prediction::v, x0, eps, at(0.6), at(0.8), 0.5),
             AllClose(0.6 * eps - 0.8 * x0, 1e-12, 0));
  CHECK_THAT(make_target(Prediction::flow, x0, eps, at(0.3), at(0.7), 0.5),
             AllClose(eps - x0, 1e-12, 0));
  // EDM: D = c_skip x + c_out F
  const double sigma = 2, d = 0.5, total = sigma * sigma + d * d;
  const auto f = make_target(Prediction::edm, x0, eps, at(1), at(sigma), d);
  const auto denoised = d * d / total * (x0 + sigma * eps) + sigma * d / std::sqrt(total) * f;
  CHECK_THAT(denoised, AllClose(x0, 1e-12, 1e-12));
  CHECK_THROWS_AS(parse_prediction("noise"), std::invalid_argument);
}

TEST_CASE("loss weights are the published ones", "[objective]") {
  const auto weight = [](const char* kind, const char* prediction, double t) {
    auto config = config_of("vp_linear", prediction);
    config.loss_weight = kind;
    const auto schedule = make_noise_schedule(config);
    return loss_weights(config, *schedule, torch::full({1}, t, torch::kFloat64)).item<double>();
  };
  const auto schedule = make_noise_schedule(config_of("vp_linear"));
  for (const double t : {0.02, 0.3, 0.9}) {
    const double snr = std::exp(2 * schedule->half_logsnr(t));
    CHECK(weight("simple", "v", t) == 1);
    CHECK(weight("min_snr", "eps", t) == Approx(std::min(snr, 5.0) / snr));
    CHECK(weight("min_snr", "x0", t) == Approx(std::min(snr, 5.0)));
    CHECK(weight("min_snr", "v", t) == Approx(std::min(snr, 5.0) / (snr + 1)));
    CHECK(weight("truncated_snr", "x0", t) == Approx(std::max(snr, 1.0)));
    CHECK(weight("truncated_snr", "eps", t) == Approx(std::max(1.0, 1 / snr)));
    CHECK(weight("edm", "x0", t) == Approx(snr + 4));
    CHECK(weight("edm", "edm", t) == Approx(1));  // EDM weighs its own prediction evenly
  }
  CHECK(weight("min_snr", "eps", 0) == Approx(0).margin(1e-9));  // snr is infinite there
  CHECK(weight("truncated_snr", "eps", 0) == Approx(1));
}

TEST_CASE("a weight on x0 and its conversion give every prediction the same loss", "[objective]") {
  // The same network error, seen through another prediction, must cost the same.
  const double alpha = 0.8, sigma = 0.6, error = 0.01;
  auto x0_config = config_of("vp_linear", "x0");
  x0_config.loss_weight = "truncated_snr";
  const auto schedule = make_noise_schedule(x0_config);
  const double t = schedule->inverse_half_logsnr(std::log(alpha / sigma));
  const auto at = torch::full({1}, t, torch::kFloat64);
  const double cost = loss_weights(x0_config, *schedule, at).item<double>() * error * error;
  const auto x_t = torch::zeros({1, 1, 1, 1}, torch::kFloat64);
  for (const auto& prediction : kPredictions) {
    auto config = config_of("vp_linear", prediction);
    config.loss_weight = "truncated_snr";
    const auto kind = parse_prediction(prediction);
    const auto as_prediction = [&](double x0) {
      return convert_prediction(
          Prediction::x0, kind, torch::full_like(x_t, x0), x_t, alpha, sigma, config.sigma_data);
    };
    const double difference = (as_prediction(error) - as_prediction(0)).item<double>();
    INFO(prediction);
    CHECK(loss_weights(config, *schedule, at).item<double>() * difference * difference ==
          Approx(cost));
  }
}

TEST_CASE("uniform times cover 0 to 1 and the discrete steps evenly", "[objective]") {
  const auto t = times(config_of("vp_linear"), "uniform", 20000);
  CHECK(t.min().item<double>() >= 0);
  CHECK(t.max().item<double>() < 1);
  CHECK(t.mean().item<double>() == Approx(0.5).margin(0.01));
  const auto n = times(config_of("scaled_linear"), "uniform", 20000) * 1000;
  CHECK_THAT(n, AllClose(n.round(), 0, 1e-9));
  CHECK(n.min().item<double>() == Approx(1));
  CHECK(n.max().item<double>() == Approx(1000));
  CHECK(n.mean().item<double>() == Approx(500.5).margin(9));
  const auto log_sigma = times(config_of("edm"), "uniform", 20000).log();
  CHECK(log_sigma.min().item<double>() == Approx(std::log(0.002)).margin(0.01));
  CHECK(log_sigma.max().item<double>() == Approx(std::log(80)).margin(0.01));
}

TEST_CASE("stratified times have one in each 1/B, low-discrepancy times are 1/B apart",
          "[objective]") {
  const auto strata = (times(config_of("vp_linear"), "stratified", 64) * 64).floor();
  CHECK(torch::equal(strata, torch::arange(64, torch::kFloat64)));
  const auto t = std::get<0>(times(config_of("vp_linear"), "low_discrepancy", 64).sort());
  CHECK_THAT(t.slice(0, 1) - t.slice(0, 0, 63),
             AllClose(torch::full({63}, 1.0 / 64, torch::kFloat64), 1e-9, 0));
}

TEST_CASE("logit-normal and log-normal times have their mean and width", "[objective]") {
  auto config = config_of("rectified_flow");
  config.logit_mean = 0.3;
  config.logit_std = 0.8;
  const auto logit = times(config, "logit_normal", 20000).logit();
  CHECK(logit.mean().item<double>() == Approx(0.3).margin(0.02));
  CHECK(logit.std().item<double>() == Approx(0.8).margin(0.02));
  for (const char* name : {"edm", "vp_linear"}) {
    const auto schedule = make_noise_schedule(config_of(name));
    const auto log_sigma = -schedule->half_logsnr(times(config_of(name), "log_normal", 20000));
    INFO(name);
    CHECK(log_sigma.mean().item<double>() == Approx(-1.2).margin(0.04));
    CHECK(log_sigma.std().item<double>() == Approx(1.2).margin(0.04));
  }
}
