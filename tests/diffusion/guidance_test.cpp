#include "diffusion/guidance.h"

#include "diffusion/noise.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::diffusion;
using uvic::test::AllClose;

namespace {

struct Guided {
  std::shared_ptr<const NoiseSchedule> schedule = make_noise_schedule({});
  std::vector<int64_t> batches;  // sizes that the network saw
  torch::Tensor x = torch::randn({2, 1, 2, 2});

  /// The network answers x * label, the null label being 10.
  Denoiser denoiser(const GuidanceConfig& guidance) {
    return make_guided_denoiser(
        [this](const torch::Tensor& x, const torch::Tensor& time, const torch::Tensor& label) {
          batches.push_back(x.size(0));
          CHECK(time.size(0) == x.size(0));
          return x * label.to(torch::kFloat32).view({-1, 1, 1, 1});
        },
        torch::tensor({1, 2}),
        torch::tensor({10, 10}),
        schedule,
        DiffusionConfig{},
        guidance);
  }
};

GuidanceConfig scale(double w) {
  GuidanceConfig config;
  config.guidance_scale = w;
  return config;
}

}  // namespace

TEST_CASE("guidance is eps_u + w (eps_c - eps_u), both halves in one batch", "[guidance]") {
  Guided g;
  const auto label = torch::tensor({1.f, 2.f}).view({2, 1, 1, 1});
  const auto eps_c = g.x * label, eps_u = g.x * 10;
  CHECK_THAT(g.denoiser(scale(3))(g.x, 0.5), AllClose(eps_u + 3 * (eps_c - eps_u), 1e-5, 1e-5));
  CHECK(g.batches == std::vector<int64_t>{4});
}

TEST_CASE("no guidance runs the conditional half alone, scale 0 the unconditional", "[guidance]") {
  Guided g;
  CHECK(torch::equal(g.denoiser(scale(1))(g.x, 0.5),
                     g.x * torch::tensor({1.f, 2.f}).view({2, 1, 1, 1})));
  CHECK(torch::equal(g.denoiser(scale(0))(g.x, 0.5), g.x * 10));
  CHECK(g.batches == std::vector<int64_t>{2, 2});
}

TEST_CASE("guidance acts within its interval only", "[guidance]") {
  Guided g;
  auto config = scale(3);
  config.guidance_t_low = 0.2;
  config.guidance_t_high = 0.6;
  const auto denoiser = g.denoiser(config);
  for (const double t : {0.1, 0.2, 0.3, 0.6, 0.7}) denoiser(g.x, t);
  CHECK(g.batches == std::vector<int64_t>{2, 2, 4, 4, 2});
}

TEST_CASE("guiding v or x0 is guiding eps: the conversion is linear", "[guidance]") {
  for (const char* prediction : {"x0", "v", "flow", "edm"}) {
    DiffusionConfig config;
    config.prediction = prediction;
    const auto schedule = make_noise_schedule(config);
    const auto x = torch::randn({1, 1, 2, 2}, torch::kFloat64);
    const auto network = [](const torch::Tensor& x, const torch::Tensor&, const torch::Tensor& c) {
      return x * c.view({-1, 1, 1, 1});
    };
    const auto one = [&](double c) {
      return make_denoiser([c](const torch::Tensor& x, const torch::Tensor&) { return x * c; },
                           schedule,
                           config)(x, 0.4);
    };
    const auto guided = make_guided_denoiser(network,
                                             torch::tensor({0.3}, torch::kFloat64),
                                             torch::tensor({0.9}, torch::kFloat64),
                                             schedule,
                                             config,
                                             scale(2.5));
    INFO(prediction);
    CHECK_THAT(guided(x, 0.4), AllClose(one(0.9) + 2.5 * (one(0.3) - one(0.9)), 1e-9, 1e-9));
  }
}

TEST_CASE("autoguidance leads away from the weaker network", "[guidance]") {
  const Denoiser good = [](const torch::Tensor& x, double) { return x * 2; };
  int weak_calls = 0;
  const Denoiser weak = [&](const torch::Tensor& x, double) { return ++weak_calls, x * 3; };
  const auto x = torch::randn({1, 1, 2, 2});
  CHECK_THAT(autoguide(good, weak, scale(2))(x, 0.5),
             AllClose(x, 1e-6, 1e-6));  // 3 + 2 (2 - 3) = 1
  CHECK(torch::equal(autoguide(good, weak, scale(1))(x, 0.5), x * 2));
  CHECK(weak_calls == 1);
}

TEST_CASE("bad guidance is refused", "[guidance]") {
  CHECK_THROWS_AS(scale(std::nan("")).validate(), std::invalid_argument);
  auto config = scale(2);
  config.guidance_t_low = 0.5;
  config.guidance_t_high = 0.4;
  CHECK_THROWS_AS(config.validate(), std::invalid_argument);
  const auto network = [](const torch::Tensor& x, const torch::Tensor&, const torch::Tensor&) {
    return x;
  };
  CHECK_THROWS_AS(
      make_guided_denoiser(
          network, torch::zeros({2}), torch::zeros({3}), make_noise_schedule({}), {}, scale(2)),
      std::invalid_argument);
}

TEST_CASE("dynamic thresholding clips to a quantile of each image and rescales to the range",
          "[denoiser]") {
  auto x0 = torch::linspace(-1, 1, 101).view({1, 1, 1, 101}) * 3;
  x0 = torch::cat({x0, x0 / 6});  // the second image is within range
  const auto kept = dynamic_threshold(x0, 0.9, 1);
  const double s = torch::quantile(x0[0].abs().flatten(), 0.9).item<double>();
  CHECK(s > 1);
  CHECK_THAT(kept[0], AllClose(x0[0].clamp(-s, s) / s, 1e-6, 1e-6));
  CHECK(torch::equal(kept[1], x0[1]));
  CHECK(dynamic_threshold(x0, 1, 1).abs().max().item<double>() ==
        Approx(1));  // ratio 1: nothing is clipped
  CHECK_THAT(dynamic_threshold(x0, 0.9, 2)[0], AllClose(x0[0].clamp(-s, s) / (s / 2), 1e-6, 1e-6));
}

TEST_CASE("thresholding changes only predictions that leave the range", "[denoiser]") {
  const auto schedule = make_noise_schedule({});
  const double t = 0.5, alpha = schedule->alpha(t), sigma = schedule->sigma(t);
  const auto x = torch::randn({2, 1, 3, 3}, torch::kFloat64);
  const auto toward = [&](double x0) -> Denoiser {
    return [=](const torch::Tensor& x, double) { return (x - alpha * x0) / sigma; };
  };
  for (const char* kind : {"clip", "dynamic"}) {
    const auto inside = with_thresholding(toward(0.7), *schedule, kind, 0.995, 1);
    CHECK_THAT(predict_x0(inside, *schedule, x, t), AllClose(torch::full_like(x, 0.7), 1e-9, 0));
    const auto outside = with_thresholding(toward(3), *schedule, kind, 0.995, 1);
    CHECK_THAT(predict_x0(outside, *schedule, x, t), AllClose(torch::full_like(x, 1.0), 1e-9, 0));
  }
  const auto free = with_thresholding(toward(3), *schedule, "none", 0.995, 1);
  CHECK_THAT(predict_x0(free, *schedule, x, t), AllClose(torch::full_like(x, 3.0), 1e-9, 0));
  CHECK_THROWS_AS(with_thresholding(toward(3), *schedule, "hard", 0.995, 1), std::invalid_argument);
}

TEST_CASE("noise comes from each image's own generator, whatever the batch or the threads",
          "[noise]") {
  NoiseSource batch({7, 8, 7}), alone({8});
  const auto first = batch.next(3, 5, 5), second = batch.next(3, 5, 5);
  CHECK(torch::equal(first[0], first[2]));
  CHECK_FALSE(torch::equal(first[0], first[1]));
  CHECK_FALSE(torch::equal(first[0], second[0]));
  CHECK(torch::equal(first[1], alone.next(3, 5, 5)[0]));
  auto only = batch.only(1);
  CHECK(only.size() == 1);
  CHECK(torch::equal(only.next(3, 5, 5)[0], (alone.next(3, 5, 5), alone.next(3, 5, 5)[0])));

  NoiseSource many(std::vector<uint64_t>(40, 3));
  const auto numbers = many.next(1, 50, 50);
  for (int64_t i = 1; i < 40; ++i) CHECK(torch::equal(numbers[0], numbers[i]));
  CHECK(numbers[0].mean().item<double>() == Approx(0).margin(0.08));
  CHECK(numbers[0].std().item<double>() == Approx(1).margin(0.06));
}
