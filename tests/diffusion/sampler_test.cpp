#include "diffusion/sampler.h"

#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::diffusion;
using uvic::test::AllClose;

TEST_CASE("sampler: point data are hit by every sampler", "[sampler]") {
  DiffusionConfig diffusion;
  const auto schedule = make_noise_schedule(diffusion);
  const Denoiser denoiser = [&](const torch::Tensor& x, double t) {
    return (x - schedule->alpha(t) * 0.3) / schedule->sigma(t);
  };
  for (const auto& info : samplers()) {
    SamplerConfig config;
    config.sampler = info.name;
    config.last_step = "zero";
    config.steps = 20;
    NoiseSource noise({1, 2});
    const auto x = sample(
        denoiser, *schedule, config, initial_noise(*schedule, config, noise, 3, 4, 4), noise);
    INFO(info.name);
    CHECK_THAT(x, AllClose(torch::full({2, 3, 4, 4}, 0.3), 0, 1e-4));
  }
}
