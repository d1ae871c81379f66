#include "app/sampling/generate.h"

#include "app/sampling/trajectory.h"
#include "base/torch.h"
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
  // New networks predict almost 0; with larger weights every input has an effect.
  const torch::NoGradGuard no_grad;
  for (auto& p : network->parameters()) p.mul_(3);
  network->eval();
  return network;
}

GenerationSettings settings_of(const std::string& sampler, int64_t steps = 6) {
  GenerationSettings settings;
  settings.sampler.sampler = sampler;
  settings.sampler.steps = steps;
  return settings;
}

torch::Tensor input_images(int64_t count) {
  return uvic::diffusion::NoiseSource({77})
      .next(3 * count, 8, 8)
      .view({count, 3, 8, 8})
      .clamp(-1, 1);
}

}  // namespace

TEST_CASE("a trajectory runs from noise to the image and does not change the image", "[sampling]") {
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
      const GenerationRequest request{{3, 9}, {1, 2}};
      const auto without = generate(*network, settings, request);
      CHECK(without.trajectories.empty());
      settings.trajectory_frames = 4;
      const auto with = generate(*network, settings, request);
      CHECK(torch::equal(with.images, without.images));
      REQUIRE(with.trajectories.size() == 2);
      for (int64_t i = 0; i < 2; ++i) {
        const auto& film = with.trajectories[static_cast<size_t>(i)];
        REQUIRE(film.states.sizes() == torch::IntArrayRef({4, 3, 8, 8}));
        REQUIRE(film.predictions.sizes() == film.states.sizes());
        CHECK(torch::equal(film.states[3], with.images[i]));
        CHECK(torch::equal(film.predictions[3], with.images[i]));
        const auto seed = request.seeds[static_cast<size_t>(i)];
        const auto noise = uvic::diffusion::NoiseSource({seed}).next(3, 8, 8)[0];
        CHECK(torch::equal(film.states[0], uvic::data::to_bytes(noise)));
      }
      const auto alone = generate(*network, settings, GenerationRequest{{9}, {2}});
      CHECK(torch::equal(alone.trajectories[0].states, with.trajectories[1].states));
    }
}

TEST_CASE("a trajectory of fewer steps than frames shows every step", "[sampling]") {
  auto network = network_of(1);
  auto settings = settings_of("ddim", 3);
  settings.trajectory_frames = 50;
  CHECK(generate(*network, settings, GenerationRequest{{3}, {1}}).trajectories[0].states.size(0) ==
        4);
}

TEST_CASE("the adaptive method generates each image separately, in every mode", "[sampling]") {
  auto network = network_of(2);
  for (const auto mode :
       {GenerationMode::kFromNoise, GenerationMode::kImageToImage, GenerationMode::kInvert}) {
    auto settings = settings_of("dpm_solver_pp");
    settings.sampler.method = "adaptive";
    settings.sampler.t_end = 1e-2;
    settings.mode = mode;
    settings.strength = 0.5;
    settings.trajectory_frames = 5;
    settings.validate();
    CHECK(settings.evaluations() == 0);
    GenerationRequest request{{3, 9}, {1, 2}};
    if (mode != GenerationMode::kFromNoise) request.input_images = input_images(2);
    const auto both = generate(*network, settings, request);
    GenerationRequest second{{9}, {2}};
    if (mode != GenerationMode::kFromNoise) second.input_images = request.input_images.slice(0, 1);
    const auto alone = generate(*network, settings, second);
    CHECK(torch::equal(both.images[1], alone.images[0]));
    CHECK(torch::equal(both.trajectories[1].states, alone.trajectories[0].states));
    CHECK(both.trajectories[1].states.size(0) <= 5);
    if (mode == GenerationMode::kInvert) CHECK(torch::equal(both.noise[1], alone.noise[0]));
  }
}

TEST_CASE("progress counts every step to the last, there and back where an image is inverted",
          "[sampling]") {
  auto network = network_of(1);
  auto settings = settings_of("dpm_solver_pp", 4);
  settings.mode = GenerationMode::kInvert;
  GenerationRequest request{{0}, {1}};
  request.input_images = input_images(1);
  std::vector<int64_t> steps_seen;
  generate(*network, settings, request, [&](int64_t step, int64_t steps) {
    CHECK(steps == 8);
    steps_seen.push_back(step);
  });
  CHECK(steps_seen == std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("a guide with the same weights has no effect, another one has", "[sampling]") {
  auto network = network_of(1), other = network_of(2);
  auto settings = settings_of("ddim");
  const GenerationRequest request{{3, 9}, {1, 2}};
  const auto alone = generate(*network, settings, request).images.to(torch::kFloat32);
  settings.guidance.guidance_scale = 2;
  settings.guide = std::make_shared<Guide>(Guide{network, settings.diffusion});
  const auto same = generate(*network, settings, request).images.to(torch::kFloat32);
  CHECK((same - alone).abs().max().item<double>() <= 1);  // of 255: 2 e - e rounds
  settings.guide = std::make_shared<Guide>(Guide{other, settings.diffusion});
  const auto guided = generate(*network, settings, request).images.to(torch::kFloat32);
  CHECK((guided - alone).abs().mean().item<double>() > 1);
  CHECK(torch::equal(
      generate(*network, settings, GenerationRequest{{9}, {2}}).images[0].to(torch::kFloat32),
      guided[1]));
}

TEST_CASE("a guide that predicts something else guides by the same eps", "[sampling]") {
  // eps = (x - alpha x0) / sigma: the prediction x0 of a guide must not be used as eps.
  auto network = network_of(1), other = network_of(2);
  auto settings = settings_of("ddim");
  settings.guidance.guidance_scale = 2;
  auto guide_diffusion = settings.diffusion;
  settings.guide = std::make_shared<Guide>(Guide{other, guide_diffusion});
  const GenerationRequest request{{3}, {1}};
  const auto as_eps = generate(*network, settings, request).images;
  guide_diffusion.prediction = "x0";
  settings.guide = std::make_shared<Guide>(Guide{other, guide_diffusion});
  CHECK_FALSE(torch::equal(generate(*network, settings, request).images, as_eps));
}
