#include "diffusion/editing.h"

#include "tests/diffusion/mixture.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::diffusion;
using uvic::test::AllClose;
using uvic::test::Mixture;

namespace {

struct World {
  std::shared_ptr<const NoiseSchedule> schedule;
  Mixture mixture;
  Denoiser denoiser;

  explicit World(const std::string& name = "vp_linear") {
    DiffusionConfig config;
    config.schedule = name;
    schedule = make_noise_schedule(config);
    denoiser = mixture.denoiser(*schedule);
  }
};

SamplerConfig named(const char* sampler, int64_t steps) {
  SamplerConfig c;
  c.sampler = sampler;
  c.steps = steps;
  return c;
}

/// Images whose every pixel is near the first component of the mixture.
torch::Tensor first_component(int64_t count) {
  return torch::tensor({-0.7f, 0.4f}).view({1, 2, 1, 1}).expand({count, 2, 6, 6}).contiguous();
}

}  // namespace

TEST_CASE("encode finds the noise of an image, for every deterministic sampler", "[editing]") {
  const World world;
  for (const char* sampler : {"ddim", "euler", "heun", "dpm_solver", "dpm_solver_pp", "unipc"}) {
    const bool first_order = std::string(sampler) == "ddim" || std::string(sampler) == "euler";
    auto config = named(sampler, first_order ? 3000 : 400);
    config.grid = std::string(sampler) == "euler" ? "uniform" : "logsnr";
    config.last_step = "t_end";
    config.t_end = 1e-3;
    NoiseSource noise({1, 2});
    const auto x_T = noise.next(2, 3, 3).to(torch::kFloat64);
    const auto image = sample(world.denoiser, *world.schedule, config, x_T, noise);
    const auto found = encode(world.denoiser, *world.schedule, config, image);
    INFO(sampler);
    CHECK_THAT(found, AllClose(x_T, 0, first_order ? 0.05 : 0.01));
    NoiseSource unused({1, 2});
    CHECK_THAT(sample(world.denoiser, *world.schedule, config, found, unused),
               AllClose(image, 0, 0.01));
  }
}

TEST_CASE("encode refuses samplers that add noise", "[editing]") {
  const World world;
  auto churned = named("heun", 10);
  churned.s_churn = 5;
  for (const auto& config :
       {named("ddpm", 10), named("euler_maruyama", 10), named("dpm_solver_pp_sde", 10), churned})
    CHECK_THROWS_AS(encode(world.denoiser, *world.schedule, config, first_component(1)),
                    std::invalid_argument);
}

TEST_CASE("image_to_image keeps an image at low strength and forgets it at full", "[editing]") {
  for (const char* schedule : {"vp_linear", "edm", "rectified_flow", "scaled_linear"})
    for (const char* sampler : {"dpm_solver_pp", "ddpm"}) {
      const World world(schedule);
      auto config = named(sampler, 40);
      if (std::string(schedule) == "edm") config.grid = "karras";
      const auto x0 = first_component(8);
      const auto distance = [&](double strength) {
        NoiseSource noise({1, 2, 3, 4, 5, 6, 7, 8});
        return (image_to_image(world.denoiser, *world.schedule, config, x0, strength, noise) - x0)
            .abs()
            .mean()
            .item<double>();
      };
      INFO(schedule << " " << sampler);
      CHECK(distance(0.05) < 0.3);
      CHECK(distance(1) > 0.5);
    }
}

TEST_CASE("image_to_image refuses a strength out of range", "[editing]") {
  const World world;
  NoiseSource noise({1});
  for (const double strength : {0.0, 1.5, 1e-6})
    CHECK_THROWS_AS(
        image_to_image(
            world.denoiser, *world.schedule, named("ddim", 5), first_component(1), strength, noise),
        std::invalid_argument);
}

TEST_CASE("inpainting keeps the known part exactly and generates the rest", "[editing]") {
  const World world;
  for (const char* sampler : {"ddpm", "dpm_solver_pp", "heun", "unipc", "euler_maruyama"}) {
    const auto known = first_component(2);
    auto mask = torch::zeros({1, 1, 6, 6});
    mask.slice(3, 0, 3).fill_(1);
    NoiseSource noise({1, 2});
    int64_t reports = 0;
    const auto config = named(sampler, 50);
    const auto x_T = initial_noise(*world.schedule, config, noise, 2, 6, 6);
    const auto x = inpaint(world.denoiser,
                           *world.schedule,
                           config,
                           x_T,
                           known,
                           mask,
                           noise,
                           /*repeats=*/1,
                           [&](int64_t, int64_t, const torch::Tensor&) { ++reports; });
    INFO(sampler);
    CHECK(torch::equal(x.slice(3, 3), known.slice(3, 3)));
    CHECK((x - known).slice(3, 0, 3).abs().mean().item<double>() > 0.1);
    CHECK(x.abs().max().item<double>() < 2.5);
    CHECK(reports == 50);

    NoiseSource second({2});  // bit for bit the second image alone
    const auto alone_T = initial_noise(*world.schedule, config, second, 2, 6, 6);
    const auto alone =
        inpaint(world.denoiser, *world.schedule, config, alone_T, known.slice(0, 1), mask, second);
    CHECK(torch::equal(alone[0], x[1]));
  }
}

TEST_CASE("inpainting with repeats finds what the known part implies", "[editing]") {
  // Two channels of one pixel: the second is that of the third component alone, so the first must
  // be its 0.3.
  const World world;
  auto known = torch::zeros({1, 2, 20, 20});
  known.select(1, 1).fill_(-0.8);
  const auto mask = torch::tensor({1.f, 0.f}).view({1, 2, 1, 1});
  const auto error = [&](const char* sampler, int64_t repeats) {
    NoiseSource noise({4});
    auto config = named(sampler, 100);
    config.last_step = "zero";
    const auto x = inpaint(world.denoiser,
                           *world.schedule,
                           config,
                           noise.next(2, 20, 20),
                           known,
                           mask,
                           noise,
                           repeats);
    CHECK(torch::equal(x.select(1, 1), known.select(1, 1)));
    return std::abs(x.select(1, 0).mean().item<double>() - 0.3);
  };
  for (const char* sampler : {"ddpm", "ddim", "dpm_solver_pp"}) {
    INFO(sampler);
    CHECK(error(sampler, 10) < 0.08);
    CHECK(error(sampler, 10) < error(sampler, 1));
  }
}

TEST_CASE("repeats cost evaluations and are reported as one step", "[editing]") {
  const World world;
  NoiseSource noise({4});
  int64_t calls = 0, reports = 0;
  inpaint([&](const torch::Tensor& x, double t) { return ++calls, world.denoiser(x, t); },
          *world.schedule,
          named("ddpm", 8),
          noise.next(2, 6, 6),
          first_component(1),
          torch::ones({1, 1, 6, 6}),
          noise,
          3,
          [&](int64_t, int64_t steps, const torch::Tensor&) { reports += steps == 8; });
  CHECK(calls == 24);
  CHECK(reports == 8);
}

TEST_CASE("repeats multiply the evaluations of every step but the prediction after the last",
          "[editing]") {
  const World world;
  const auto calls_of = [&](SamplerConfig config) {
    NoiseSource noise({4});
    int64_t calls = 0;
    inpaint([&](const torch::Tensor& x, double t) { return ++calls, world.denoiser(x, t); },
            *world.schedule,
            config,
            noise.next(2, 6, 6),
            first_component(1),
            torch::ones({1, 1, 6, 6}),
            noise,
            3);
    return calls;
  };
  CHECK(calls_of(named("heun", 4)) == (2 * 4 - 1) * 3);
  CHECK(calls_of(named("dpm_solver_pp", 4)) == 4 * 3);
  auto to_zero = named("dpm_solver_pp", 4);
  to_zero.last_step = "zero";
  CHECK(calls_of(to_zero) == 4 * 3 + 1);
}

TEST_CASE("inpainting refuses the adaptive method and shapes that differ", "[editing]") {
  const World world;
  NoiseSource noise({1});
  auto config = named("dpm_solver", 10);
  const auto known = first_component(1), mask = torch::ones({1, 1, 6, 6});
  CHECK_THROWS_AS(
      inpaint(
          world.denoiser, *world.schedule, config, torch::zeros({1, 2, 5, 5}), known, mask, noise),
      std::invalid_argument);
  config.method = "adaptive";
  CHECK_THROWS_AS(
      inpaint(
          world.denoiser, *world.schedule, config, torch::zeros_like(known), known, mask, noise),
      std::invalid_argument);
}

TEST_CASE("interpolated noise starts at one seed, ends at the other, and stays noise in between",
          "[editing]") {
  const auto a = NoiseSource({1, 2}).next(3, 16, 16), b = NoiseSource({3, 4}).next(3, 16, 16);
  CHECK_THAT(interpolate_noise(a, b, 0), AllClose(a, 1e-5, 1e-5));
  CHECK_THAT(interpolate_noise(a, b, 1), AllClose(b, 1e-5, 1e-5));
  for (const double u : {0.2, 0.5, 0.8})
    CHECK(interpolate_noise(a, b, u).std().item<double>() == Approx(1).margin(0.05));
  CHECK_THAT(interpolate_noise(a, a, 0.3), AllClose(a, 1e-5, 1e-5));
  CHECK(torch::equal(interpolate_noise(a, b, 0.4)[1],
                     interpolate_noise(a.slice(0, 1), b.slice(0, 1), 0.4)[0]));
  CHECK_THROWS_AS(interpolate_noise(a, b.slice(0, 1), 0.5), std::invalid_argument);
}

TEST_CASE("interpolated noise has the bits of one seed at each end, in every call", "[editing]") {
  NoiseSource from({3}), to({17}), between({3, 3, 3}, {17, 17, 17}, {0, 0.5, 1});
  for (int call = 0; call < 3; ++call) {
    const auto a = from.next(3, 16, 16), b = to.next(3, 16, 16), x = between.next(3, 16, 16);
    CHECK(torch::equal(x[0], a[0]));
    CHECK(torch::equal(x[2], b[0]));
    CHECK(torch::equal(x[1], interpolate_noise(a, b, 0.5)[0]));
    CHECK(x[1].std().item<double>() == Approx(1).margin(0.08));
  }
  NoiseSource one = NoiseSource({1, 3}, {2, 17}, {0.5, 0.5}).only(1);
  CHECK(torch::equal(one.next(3, 16, 16), NoiseSource({3}, {17}, {0.5}).next(3, 16, 16)));
  CHECK_THROWS_AS(NoiseSource({1, 2}, {3}, {0.5}), std::invalid_argument);
}
