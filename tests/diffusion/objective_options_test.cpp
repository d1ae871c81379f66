// The objective's options beyond the official code's: weights, times, direction, other examples.
#include <cmath>

#include "diffusion/objective.h"
#include "diffusion/prediction.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::diffusion;
using uvic::test::AllClose;

namespace {

uvic::base::PositionRandom examples_of(uint64_t seed, int64_t count) {
  return {seed, torch::arange(count, torch::kInt64)};
}

DiffusionConfig options_of(const std::string& schedule, const std::string& prediction = "eps") {
  DiffusionConfig config;
  config.schedule = schedule, config.prediction = prediction;
  return config;
}

torch::Tensor times_of(DiffusionConfig config, const std::string& kind, int64_t count) {
  config.timestep_sampling = kind;
  return sample_training_times(config, *make_noise_schedule(config), examples_of(3, count), count);
}

const std::vector<std::string> kAllPredictions = {"eps", "x0", "v", "flow", "edm"};

}  // namespace

TEST_CASE("alignment: the same image and noise at an earlier time, up to alignment_time",
          "[objective]") {
  for (const char* kind : {"rectified_flow", "vp_linear", "ddpm_linear"}) {
    CAPTURE(kind);
    DiffusionConfig config;
    config.schedule = kind;
    config.prediction = std::string(kind) == "rectified_flow" ? "flow" : "eps";
    const auto schedule = make_noise_schedule(config);
    const auto random = examples_of(3, 2000);
    const auto x0 = torch::zeros({2000, 1, 2, 2});  // x_t is then sigma eps
    CHECK_FALSE(make_training_example(config, *schedule, x0, random, 1).cleaner_x_t.defined());
    const auto plain = make_training_example(config, *schedule, x0, random, 1);
    config.alignment_loss = 1;
    const auto example = make_training_example(config, *schedule, x0, random, 1);
    CHECK(torch::equal(example.x_t, plain.x_t));
    CHECK(torch::equal(example.network_time, plain.network_time));
    const double unit = schedule->network_time(1.0) - schedule->network_time(0.0);
    const auto t = (example.network_time.to(torch::kFloat64) - schedule->network_time(0.0)) / unit,
               earlier =
                   (example.cleaner_time.to(torch::kFloat64) - schedule->network_time(0.0)) / unit;
    const auto step = t - earlier;
    CHECK(step.min().item<double>() > -1e-6);
    CHECK(step.max().item<double>() < 0.2 + 1e-6);
    // Not before t_min, unless t is.
    CHECK((earlier - t.clamp_max(schedule->t_min())).min().item<double>() > -1e-6);
    // Of those that the bound does not touch the mean is 0.1 +- 0.0577 / sqrt(1600), 5 of these.
    CHECK(step.masked_select(t > 0.3).mean().item<double>() == Approx(0.1).margin(0.008));
    const auto eps = example.x_t.to(torch::kFloat64) / schedule->sigma(t).view({-1, 1, 1, 1}),
               expected = schedule->sigma(earlier).view({-1, 1, 1, 1}) * eps;
    CHECK(torch::allclose(example.cleaner_x_t.to(torch::kFloat64), expected, 1e-3, 1e-4));
  }
}

TEST_CASE("the loss weight `velocity` costs x0's error as that of rectified flow's velocity",
          "[objective]") {
  auto config = options_of("rectified_flow", "x0");
  config.loss_weight = "velocity";
  const auto schedule = make_noise_schedule(config);
  const auto weight = [&](double t) {
    return loss_weights(config, *schedule, torch::full({1}, t, torch::kFloat64)).item<double>();
  };
  // (x_t - x0) / max(t, 0.05), as in JiT
  CHECK(weight(0.5) == Approx(4));
  CHECK(weight(0.1) == Approx(100));
  CHECK(weight(0.01) == Approx(400));
  CHECK(weight(0) == Approx(400));
  config.velocity_t_min = 0.2;
  CHECK(weight(0.1) == Approx(25));
  config.prediction = "flow";  // which is weighted alike, but for times below the bound
  CHECK(weight(0.5) == Approx(1));
  CHECK(weight(0.1) == Approx(0.25));
}

TEST_CASE("shifted times multiply t / (1 - t) by the shift, on every distribution", "[objective]") {
  CHECK_THAT(shift_times(3, torch::tensor({0.0, 0.25, 0.5, 1.0}, torch::kFloat64)),
             AllClose(torch::tensor({0.0, 0.5, 0.75, 1.0}, torch::kFloat64), 1e-12, 0));
  for (const char* kind :
       {"uniform", "stratified", "low_discrepancy", "logit_normal", "log_normal"}) {
    INFO(kind);
    auto config = options_of("rectified_flow");
    const auto plain = times_of(config, kind, 64);
    config.time_shift = 2.5;
    const auto shifted = times_of(config, kind, 64);
    CHECK_THAT(shifted / (1 - shifted), AllClose(2.5 * plain / (1 - plain), 1e-9, 0));
  }
  DiffusionConfig config;
  CHECK(resolved_time_shift(config, 3, 32, 32) == 1);
  config.time_shift = 0;
  CHECK(resolved_time_shift(config, 4, 32, 32) == Approx(1));
  CHECK(resolved_time_shift(config, 3, 32, 32) == Approx(std::sqrt(0.75)));
  CHECK(resolved_time_shift(config, 3, 64, 64) == Approx(std::sqrt(3.0)));
  CHECK_THROWS_AS(times_of(config, "uniform", 4), std::invalid_argument);
  // A training example knows its resolution.
  config.schedule = "rectified_flow";
  const auto schedule = make_noise_schedule(config);
  const auto x0 = torch::zeros({4, 3, 32, 32});
  const auto by_size = make_training_example(config, *schedule, x0, examples_of(3, 4), 4);
  config.time_shift = std::sqrt(0.75);
  CHECK(torch::equal(
      by_size.network_time,
      make_training_example(config, *schedule, x0, examples_of(3, 4), 4).network_time));
}

namespace {

/// An example of one image with three channels and two places.
TrainingExample example_of(std::vector<double> target) {
  TrainingExample example;
  example.x_t = torch::zeros({1, 3, 1, 2});
  example.target = torch::tensor(target, torch::kFloat64).view({1, 3, 1, 2}).to(torch::kFloat32);
  example.weight = torch::ones({1});
  example.velocity_of_prediction = torch::ones({1, 1, 1, 1});
  example.velocity_of_x = torch::zeros({1, 1, 1, 1});
  return example;
}

}  // namespace

TEST_CASE("the direction loss is 1 minus the cosine between channels, mean over places",
          "[objective]") {
  auto config = options_of("rectified_flow", "flow");
  config.direction_loss = 2;
  // Channels of place 0: (1, 0, 0); of place 1: (0, 3, 4).
  const auto example = example_of({1, 0, 0, 3, 0, 4});
  const auto loss = [&](std::vector<double> p) {
    const auto x = torch::tensor(p, torch::kFloat64).view({1, 3, 1, 2}).to(torch::kFloat32);
    const double square = (x - example.target).square().mean().item<double>();
    return diffusion_losses(config, x, example).item<double>() - square;
  };
  CHECK(loss({1, 0, 0, 3, 0, 4}) == Approx(0).margin(1e-6));
  CHECK(loss({7, 0, 0, 6, 0, 8}) == Approx(0).margin(1e-5));    // longer, the same direction
  CHECK(loss({-1, 0, 0, 3, 0, 4}) == Approx(2).epsilon(1e-5));  // 2 * (2 + 0) / 2
  CHECK(loss({0, 0, 1, 4, 0, 3}) == Approx(2 * (1 + 1 - 24.0 / 25) / 2).epsilon(1e-5));
}

TEST_CASE("the direction is that of the velocity, whatever is predicted", "[objective]") {
  for (const char* schedule_name : {"vp_linear", "rectified_flow", "edm"})
    for (const auto& prediction : kAllPredictions) {
      INFO(schedule_name << " " << prediction);
      auto config = options_of(schedule_name, prediction);
      config.direction_loss = 1;
      config.timestep_sampling = "stratified";
      const auto schedule = make_noise_schedule(config);
      const auto x0 = torch::rand({5, 3, 4, 4}) * 2 - 1;
      const auto e = make_training_example(config, *schedule, x0, examples_of(5, 5), 5);
      const auto eps = examples_of(5, 5).normals(uvic::base::RandomUse::kNoise, {3, 4, 4});
      const auto v = e.velocity_of_prediction * e.target + e.velocity_of_x * e.x_t;
      const auto cos = torch::cosine_similarity(v, eps - x0, 1);
      CHECK_THAT(cos.abs(), AllClose(torch::ones_like(cos), 1e-3, 0));
      // An error of the prediction turns the velocity by the angle that it turns the true one.
      CHECK(diffusion_losses(config, e.target, e).abs().max().item<double>() < 1e-5);
    }
}

TEST_CASE("the contrastive term subtracts the distance to the target of another example",
          "[objective]") {
  auto config = options_of("rectified_flow", "flow");
  config.contrastive_loss = 0.05;
  const auto schedule = make_noise_schedule(config);
  const auto x0 = torch::rand({4, 3, 4, 4}) * 2 - 1;
  // Pairs 0, 1 and 2, 3; the second pair does not count.
  const auto order = torch::tensor({1, 0, 3, 2}, torch::kInt64);
  const OtherExamples others{x0.index_select(0, order), order, torch::tensor({1.f, 1.f, 0.f, 0.f})};
  const auto e = make_training_example(config, *schedule, x0, examples_of(5, 4), 4, others);
  // On rectified flow a target does not depend on the time: it is the other example's own.
  CHECK(torch::equal(e.other_target, e.target.index_select(0, order)));
  const auto p = torch::randn_like(x0).set_requires_grad(true);
  const auto losses = diffusion_losses(config, p, e);
  const auto square = [](const torch::Tensor& t) {
    return t.detach().to(torch::kFloat64).square().flatten(1).mean(1);
  };
  const auto expected = square(p - e.target) - 0.05 * others.counts * square(p - e.other_target);
  CHECK_THAT(losses, AllClose(expected, 1e-5, 1e-6));
  losses.sum().backward();
  const auto gradient =
      2.0 / 48 *
      ((p - e.target) - 0.05 * others.counts.view({4, 1, 1, 1}) * (p - e.other_target)).detach();
  CHECK_THAT(p.grad(), AllClose(gradient, 1e-4, 1e-6));
  // Off, nothing is made.
  config.contrastive_loss = 0;
  CHECK_FALSE(make_training_example(config, *schedule, x0, examples_of(5, 4), 4, others)
                  .other_target.defined());
}

TEST_CASE("direction and contrastive losses have the gradient of their definition in float64",
          "[objective]") {
  for (const auto& prediction : kAllPredictions) {
    INFO(prediction);
    auto config = options_of("vp_linear", prediction);
    config.direction_loss = 0.7, config.contrastive_loss = 0.1;
    config.timestep_sampling = "stratified";
    const auto schedule = make_noise_schedule(config);
    const auto x0 = torch::rand({3, 3, 2, 2}) * 2 - 1;
    const OtherExamples others{x0.flip(0), torch::arange(10, 13), torch::ones({3})};
    const auto e = make_training_example(config, *schedule, x0, examples_of(5, 3), 3, others);
    const auto p = torch::randn_like(x0).set_requires_grad(true);
    diffusion_losses(config, p, e).sum().backward();

    const auto wide = [](const torch::Tensor& t) { return t.detach().to(torch::kFloat64); };
    const auto q = wide(p).set_requires_grad(true);
    const auto v = [&](const torch::Tensor& x) {
      return wide(e.velocity_of_prediction) * x + wide(e.velocity_of_x) * wide(e.x_t);
    };
    const auto a = v(q), b = v(wide(e.target));
    const auto cos = (a * b).sum(1) / (a.norm(2, 1) * b.norm(2, 1));
    const auto square = [&](const torch::Tensor& t) {
      return (q - wide(t)).square().flatten(1).mean(1);
    };
    (square(e.target) + 0.7 * (1 - cos.flatten(1).mean(1)) - 0.1 * square(e.other_target))
        .sum()
        .backward();
    CHECK_THAT(p.grad(), AllClose(q.grad(), 2e-3, 1e-4));
  }
}
