#include "app/sampling/draw.h"

#include <torch/torch.h>

#include "app/sampling/trajectory.h"
#include "data/pixel_range.h"
#include "diffusion/noise.h"
#include "tests/support/catch.h"

using namespace uvic::app;

namespace {

uvic::model::NetworkConfig tiny_model(int64_t classes = 5) {
  uvic::model::NetworkConfig config;
  config.uvit.img_size = 8;
  config.uvit.embed_dim = 16;
  config.uvit.depth = 2;
  config.uvit.num_heads = 2;
  config.uvit.num_classes = classes;
  return config;
}

uvic::model::NetworkPtr network_of(uint64_t seed) {
  torch::manual_seed(seed);
  const auto network = uvic::model::make_network(tiny_model());
  // Fresh networks predict next to nothing; larger weights let every input show.
  const torch::NoGradGuard no_grad;
  for (auto& p : network->parameters()) p.mul_(3);
  network->eval();
  return network;
}

DrawSettings settings_of(const std::string& sampler, int64_t steps = 6) {
  DrawSettings settings;
  settings.sampler.sampler = sampler;
  settings.sampler.steps = steps;
  return settings;
}

torch::Tensor given_pictures(int64_t count) {
  return uvic::diffusion::NoiseSource({77})
      .draw(3 * count, 8, 8)
      .view({count, 3, 8, 8})
      .clamp(-1, 1);
}

}  // namespace

TEST_CASE("a trajectory runs from noise to the picture and changes nothing", "[sampling]") {
  auto network = network_of(1);
  for (const auto* sampler : {"ddpm",
                              "ddim",
                              "euler",
                              "euler_maruyama",
                              "heun",
                              "dpm_solver",
                              "dpm_solver_pp",
                              "dpm_solver_pp_sde",
                              "unipc"})
    for (const auto* last_step : {"zero", "t_end"}) {
      CAPTURE(sampler, last_step);
      auto settings = settings_of(sampler, 6);
      settings.sampler.last_step = last_step;
      const DrawRequest request{{3, 9}, {1, 2}};
      const auto without = draw(*network, settings, request);
      CHECK(without.trajectories.empty());
      settings.trajectory_frames = 4;
      const auto with = draw(*network, settings, request);
      CHECK(torch::equal(with.images, without.images));
      REQUIRE(with.trajectories.size() == 2);
      for (int64_t i = 0; i < 2; ++i) {
        const auto& film = with.trajectories[static_cast<size_t>(i)];
        REQUIRE(film.states.sizes() == torch::IntArrayRef({4, 3, 8, 8}));
        REQUIRE(film.predictions.sizes() == film.states.sizes());
        CHECK(torch::equal(film.states[3], with.images[i]));
        CHECK(torch::equal(film.predictions[3], with.images[i]));
        const auto seed = request.seeds[static_cast<size_t>(i)];
        const auto noise = uvic::diffusion::NoiseSource({seed}).draw(3, 8, 8)[0];
        CHECK(torch::equal(film.states[0], uvic::data::to_bytes(noise)));
      }
      const auto alone = draw(*network, settings, DrawRequest{{9}, {2}});
      CHECK(torch::equal(alone.trajectories[0].states, with.trajectories[1].states));
    }
}

TEST_CASE("a trajectory of fewer steps than frames shows every step", "[sampling]") {
  auto network = network_of(1);
  auto settings = settings_of("ddim", 3);
  settings.trajectory_frames = 50;
  CHECK(draw(*network, settings, DrawRequest{{3}, {1}}).trajectories[0].states.size(0) == 4);
}

TEST_CASE("the adaptive method draws each way in parts, each picture its own", "[sampling]") {
  auto network = network_of(2);
  for (const auto mode : {DrawMode::kFresh, DrawMode::kImageToImage, DrawMode::kInvert}) {
    auto settings = settings_of("dpm_solver_pp");
    settings.sampler.method = "adaptive";
    settings.sampler.t_end = 1e-2;
    settings.mode = mode;
    settings.strength = 0.5;
    settings.trajectory_frames = 5;
    settings.validate();
    CHECK(settings.evaluations() == 0);
    DrawRequest request{{3, 9}, {1, 2}};
    if (mode != DrawMode::kFresh) request.given = given_pictures(2);
    const auto both = draw(*network, settings, request);
    DrawRequest second{{9}, {2}};
    if (mode != DrawMode::kFresh) second.given = request.given.slice(0, 1);
    const auto alone = draw(*network, settings, second);
    CHECK(torch::equal(both.images[1], alone.images[0]));
    CHECK(torch::equal(both.trajectories[1].states, alone.trajectories[0].states));
    CHECK(both.trajectories[1].states.size(0) <= 5);
    if (mode == DrawMode::kInvert) CHECK(torch::equal(both.noise[1], alone.noise[0]));
  }
}

TEST_CASE("progress counts every step to the last, there and back where a picture is inverted",
          "[sampling]") {
  auto network = network_of(1);
  auto settings = settings_of("dpm_solver_pp", 4);
  settings.mode = DrawMode::kInvert;
  DrawRequest request{{0}, {1}};
  request.given = given_pictures(1);
  std::vector<int64_t> told;
  draw(*network, settings, request, [&](int64_t step, int64_t steps) {
    CHECK(steps == 8);
    told.push_back(step);
  });
  CHECK(told == std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("a guide of the same weights changes nothing, another one does", "[sampling]") {
  auto network = network_of(1), other = network_of(2);
  auto settings = settings_of("ddim");
  const DrawRequest request{{3, 9}, {1, 2}};
  const auto alone = draw(*network, settings, request).images.to(torch::kFloat32);
  settings.guidance.guidance_scale = 2;
  settings.guide = std::make_shared<Guide>(Guide{network, settings.diffusion});
  const auto same = draw(*network, settings, request).images.to(torch::kFloat32);
  CHECK((same - alone).abs().max().item<double>() <= 1);  // of 255: 2 e - e rounds
  settings.guide = std::make_shared<Guide>(Guide{other, settings.diffusion});
  const auto guided = draw(*network, settings, request).images.to(torch::kFloat32);
  CHECK((guided - alone).abs().mean().item<double>() > 1);
  CHECK(torch::equal(draw(*network, settings, DrawRequest{{9}, {2}}).images[0].to(torch::kFloat32),
                     guided[1]));
}

TEST_CASE("a guide that predicts something else guides by the same eps", "[sampling]") {
  // eps = (x - alpha x0) / sigma: a guide told to predict x0 must not be read as eps.
  auto network = network_of(1), other = network_of(2);
  auto settings = settings_of("ddim");
  settings.guidance.guidance_scale = 2;
  auto guide_diffusion = settings.diffusion;
  settings.guide = std::make_shared<Guide>(Guide{other, guide_diffusion});
  const DrawRequest request{{3}, {1}};
  const auto as_eps = draw(*network, settings, request).images;
  guide_diffusion.prediction = "x0";
  settings.guide = std::make_shared<Guide>(Guide{other, guide_diffusion});
  CHECK_FALSE(torch::equal(draw(*network, settings, request).images, as_eps));
}
