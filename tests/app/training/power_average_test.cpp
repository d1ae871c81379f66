// Power averages: kept while a run trains, and made afterwards.
#include <cmath>

#include "app/commands/average.h"
#include "app/commands/sample.h"
#include "app/commands/train.h"
#include "app/runs/power_profile.h"
#include "app/runs/run_dir.h"
#include "app/training/memory_estimate.h"
#include "app/training/resume.h"
#include "app/training/train_state.h"
#include "data/formats/safetensors.h"
#include "tests/app/lab/tiny_networks.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

RunConfig averaged_run(const fs::path& out, const std::string& widths) {
  auto config = tiny_run("cog");
  config.out = out.string();
  config.device = "cpu", config.threads = 2;
  config.total_images = 512, config.batch_size = 16, config.log_images = 256;
  config.checkpoint_images = 64, config.grid_images = 0;
  config.optimizer.lr = 3e-3, config.optimizer.warmup_images = 32;
  config.model.uvit.num_classes = 11;
  config.dataset.image_size = config.model.uvit.img_size;
  config.ema_power = widths;
  return config;
}

std::map<std::string, torch::Tensor> tensors_of_file(const fs::path& path) {
  return formats::read_safetensors(path).tensors;
}

bool have_same_bits(const fs::path& a, const fs::path& b) {
  const auto x = tensors_of_file(a), y = tensors_of_file(b);
  if (x.empty() || x.size() != y.size()) return false;
  for (const auto& [name, tensor] : x)
    if (!y.count(name) || !torch::equal(tensor, y.at(name))) return false;
  return true;
}

/// || a - b || / || b - c ||, over all tensors.
double relative_distance(const fs::path& a, const fs::path& b, const fs::path& c) {
  const auto x = tensors_of_file(a), y = tensors_of_file(b), z = tensors_of_file(c);
  double above = 0, below = 0;
  for (const auto& [name, tensor] : y) {
    const auto wide = tensor.to(torch::kFloat64);
    above += (x.at(name) - wide).square().sum().item<double>();
    below += (z.at(name) - wide).square().sum().item<double>();
  }
  return std::sqrt(above / below);
}

AverageResult averaged(const fs::path& run, const fs::path& out, double width, int64_t images = 0) {
  AverageOptions options;
  options.run = run.string(), options.out = out.string();
  options.width = width, options.images = images;
  return run_average(options);
}

}  // namespace

TEST_CASE("power average: what a state keeps is the average by its definition", "[power]") {
  auto config = averaged_run("", "0.05,0.2");
  TrainState state(config, torch::kCPU);
  REQUIRE(state.power_averages.size() == 2);
  std::vector<torch::Tensor> weights;
  const auto& p = state.parameters.front();
  for (int step = 1; step <= 20; ++step) {
    {
      const torch::NoGradGuard no_grad;
      p.normal_();
    }
    weights.push_back(p.detach().to(torch::kFloat64).clone());
    state.images_seen += 16;
    state.update_power_averages(16);
  }
  for (const auto& average : state.power_averages) {
    auto expected = torch::zeros_like(weights.front());
    for (size_t k = 0; k < weights.size(); ++k) {
      const auto share = [&](size_t n) {
        return std::pow(static_cast<double>(n) / 20, average.power + 1);
      };
      expected += weights[k] * (share(k + 1) - share(k));
    }
    CHECK_THAT(average.tensors.front(), AllClose(expected.to(torch::kFloat32), 0, 2e-6));
  }
}

TEST_CASE("power average: a run keeps them, gives them back and makes others", "[power]") {
  const Scratch scratch;
  run_train(averaged_run(scratch / "a", "0.05,0.07,0.1"), {});
  const RunDir run(scratch / "a");
  CHECK(run.averages().size() == 3 * 8);
  CHECK(run.averages().front().images_seen == 64);

  // The average of one width, of weights that were trained the same, is not touched by the others.
  run_train(averaged_run(scratch / "plain", ""), {});
  CHECK(have_same_bits(run.weights(512), RunDir(scratch / "plain").weights(512)));
  CHECK_FALSE(fs::exists(scratch / "plain" / "averages"));

  auto made = averaged(scratch / "a", scratch / "same.safetensors", 0.07, 256);
  CHECK(made.kept == 1);
  CHECK(made.error == 0);
  CHECK(have_same_bits(scratch / "same.safetensors", run.average(256, 0.07)));

  // The same width without the averages that have it.
  fs::create_directory(scratch / "kept");
  for (const auto& file : run.averages())
    if (file.width == 0.07) fs::rename(file.path, scratch / "kept" / file.path.filename());
  for (const int64_t images : {512, 384}) {
    const auto out = scratch / fmt::format("made-{}.safetensors", images);
    made = averaged(scratch / "a", out, 0.07, images);
    CHECK(made.kept == 2 * images / 64);
    CHECK(made.error < 0.025);
    const auto name = run.average(images, 0.07).filename();
    // Beside the distance to a neighbouring width.
    CHECK(relative_distance(out, scratch / "kept" / name, run.average(images, 0.1)) < 0.05);
  }
  // Between two kept ones it is the later.
  CHECK(averaged(scratch / "a", scratch / "between.safetensors", 0.07, 330).images == 384);
  CHECK(have_same_bits(scratch / "between.safetensors", scratch / "made-384.safetensors"));
  const auto metadata = read_metadata(scratch / "made-384.safetensors");
  CHECK(metadata.at("uvic.images_seen") == "384");
  CHECK(metadata.at("uvic.ema_width") == "0.07");
  CHECK(metadata.count("uvic.config") == 1);

  SampleOptions sample;
  sample.weights = (scratch / "made-512.safetensors").string();
  sample.out = (scratch / "samples").string();
  sample.seeds = "0-1", sample.sample.steps = 2;
  run_sample(sample);
  CHECK(fs::exists(scratch / "samples" / "000001.png"));

  CHECK_THROWS_WITH(averaged(scratch / "a", scratch / "x.safetensors", 0.07, 1024),
                    Contains("latest kept average") && Contains("512"));
  CHECK(averaged(scratch / "a", scratch / "first.safetensors", 0.07, 32).images == 64);
  CHECK_THROWS_WITH(averaged(scratch / "plain", scratch / "x.safetensors", 0.07),
                    Contains("--ema_power"));
  CHECK_THROWS_WITH(averaged(scratch / "a", scratch / "made-512.safetensors", 0.07),
                    Contains("exists"));
  for (const auto& own : {run.average(512, 0.07), run.weights(512), run.state()})
    CHECK_THROWS_WITH(averaged(scratch / "a", own, 0.07), Contains("part of the run"));
}

TEST_CASE("power average: a run that is stopped goes on bit for bit, and can go back", "[power]") {
  const Scratch scratch;
  auto config = averaged_run(scratch / "whole", "0.05,0.1");
  config.keep_states = 8;
  run_train(config, {});
  config.out = (scratch / "twice").string();
  config.total_images = 192;
  run_train(config, {});
  config.total_images = 512;
  run_train(config, {});
  const RunDir whole(scratch / "whole"), twice(scratch / "twice");
  CHECK(have_same_bits(twice.state(), whole.state()));
  for (const double width : {0.05, 0.1})
    CHECK(have_same_bits(twice.average(512, width), whole.average(512, width)));

  // A launch that was killed before the averages of its last state were written makes them.
  const auto kept = scratch / "average.safetensors";
  fs::rename(twice.average(512, 0.1), kept);
  fs::remove(twice.weights(512));
  run_train(config, {});
  CHECK(have_same_bits(twice.average(512, 0.1), kept));

  LaunchOptions back;
  back.resume_from = 256;
  run_train(config, back);
  CHECK(fs::exists(scratch / "twice" / "abandoned" / "1" / "averages" /
                   "000000320-0.05.safetensors"));
  CHECK(have_same_bits(twice.average(512, 0.1), kept));

  config.ema_power = "0.05";
  CHECK_THROWS_WITH(run_train(config, {}), Contains("--ema_power was \"0.05,0.1\""));
  config.ema_power = "0.5";
  CHECK_THROWS_WITH(config.validate(), Contains("relative width"));
}

TEST_CASE("power average: its memory is counted", "[power][memory]") {
  auto config = averaged_run("", "");
  const auto without = estimate_memory(config, torch::kCPU, 1);
  config.ema_power = "0.05,0.1";
  const auto with = estimate_memory(config, torch::kCPU, 1);
  CHECK(with.at_most() - without.at_most() == 2 * without.average);
  CHECK_THAT(memory_text(with), Contains("power averages of the weights"));
}
