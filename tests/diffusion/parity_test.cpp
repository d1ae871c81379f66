// Our samplers against the official code of DPM-Solver, U-ViT, UniPC and k-diffusion, on an
// analytic noise predictor in float64. The numbers come from tests/golden/diffusion/make_golden.py;
// docs/samplers.md lists what differs and why.
#include <fmt/format.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "diffusion/noise.h"
#include "diffusion/sampler.h"
#include "tests/diffusion/mixture.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::diffusion;
using nlohmann::json;

namespace {

/// Sets the fields that the JSON object names.
template <class Config>
void assign(Config& config, const json& values) {
  size_t set = 0;
  config.fields([&](const char* name, auto& field, const uvic::base::Field&) {
    if (!values.contains(name)) return;
    values.at(name).get_to(field);
    ++set;
  });
  REQUIRE(set == values.size());
}

const json& golden() {
  static const json file = json::parse(std::ifstream(UVIC_GOLDEN_DIR "/diffusion/samplers.json"));
  return file;
}

uvic::test::Mixture golden_mixture() {
  const auto& m = golden()["mixture"];
  return {m["weight"], m["mean"], m["std"]};
}

/// The largest relative error over the step counts of a group.
double worst_error(const json& group) {
  DiffusionConfig diffusion;
  diffusion.schedule = group["schedule"];
  assign(diffusion, group["diffusion"]);
  const auto schedule = make_noise_schedule(diffusion);
  const auto mixture = golden_mixture();
  const auto denoiser = mixture.denoiser(*schedule);
  SamplerConfig config;
  assign(config, group["config"]);
  const auto x_T =
      torch::tensor(golden()["x_T"].get<std::vector<double>>(), torch::kFloat64).view({1, 2, 1, 1});
  double worst = 0;
  for (const auto& [steps, x] : group["x"].items()) {
    config.steps = std::stoll(steps);
    NoiseSource noise({7});
    const auto ours =
        sample(denoiser, *schedule, config, x_T * schedule->prior_std(schedule->t_max()), noise);
    const auto theirs =
        torch::tensor(x.get<std::vector<double>>(), torch::kFloat64).view({1, 2, 1, 1});
    worst = std::max(worst, uvic::test::relative_l2(ours, theirs));
  }
  return worst;
}

void compare_with(const std::string& source) {
  int64_t samples = 0;
  for (const auto& group : golden()["groups"]) {
    if (group["source"] != source) continue;
    INFO(group["schedule"] << " " << group["config"]);
    CHECK(worst_error(group) < 1e-9);
    samples += group["x"].size();
  }
  CHECK(samples > 0);
}

}  // namespace

TEST_CASE("DPM-Solver and DPM-Solver++ give the samples of the official code, for 5 to 50 steps",
          "[parity]") {
  compare_with("dpm-solver");
}

TEST_CASE("the solvers of U-ViT's repository give the same samples as ours", "[parity]") {
  compare_with("U-ViT/dpm_solver_pp.py");
  compare_with("U-ViT/dpm_solver_pytorch.py");
}

TEST_CASE("Euler-Maruyama takes U-ViT's steps, noise for noise", "[parity]") {
  compare_with("U-ViT/sde.py");
}

TEST_CASE("UniPC gives the samples of the official code", "[parity]") { compare_with("UniPC"); }

TEST_CASE("Heun with churn and the SDE solver take k-diffusion's steps, noise for noise",
          "[parity]") {
  compare_with("k-diffusion");
}
