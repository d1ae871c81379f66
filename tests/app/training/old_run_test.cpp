// Run folders of version 0.1.0 (tests/golden/runs) open, sample and continue.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "app/commands/sample.h"
#include "app/commands/train.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/training/train_state.h"
#include "data/formats/image_file.h"
#include "data/formats/safetensors.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::app;
using uvic::test::Scratch;
namespace formats = uvic::formats;
namespace fs = std::filesystem;

namespace {

const fs::path kRuns = fs::path(UVIC_GOLDEN_DIR) / "runs";

using Tensors = std::map<std::string, torch::Tensor>;

/// Names, dtypes and every bit.
bool identical(const Tensors& a, const Tensors& b) {
  if (a.empty() || a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second.scalar_type() != tensor.scalar_type() ||
        !other->second.equal(tensor))
      return false;
  }
  return true;
}

Tensors tensors_of(const fs::path& file) { return formats::read_safetensors(file).tensors; }

/// A copy of the folder in `scratch`, and its config.
RunConfig copied_run(const Scratch& scratch, const std::string& run, const std::string& name) {
  fs::copy(kRuns / run, scratch / name, fs::copy_options::recursive);
  auto config = read_run_config(RunDir(scratch / name));
  config.out = (scratch / name).string();
  return config;
}

void continue_to(RunConfig config, int64_t images) {
  config.total_images = images;
  run_train(config);
}

}  // namespace

TEST_CASE("a state file of 0.1.0 gives weights, average and moments with every bit", "[old_run]") {
  const std::string run = GENERATE("uvic", "uvit");
  const auto config = read_run_config(RunDir(kRuns / run));
  CHECK(config.model.uvit.attention == (run == "uvic" ? "cog" : "softmax"));
  TrainState state(config.model, config.optimizer, 123, torch::kCPU);
  state.load(kRuns / run / "state.safetensors");
  CHECK(state.step == 3);
  CHECK(state.images_seen == 48);

  const auto stored = tensors_of(kRuns / run / "state.safetensors");
  Tensors loaded, averages;
  for (size_t i = 0; i < state.names.size(); ++i) {
    loaded["model." + state.names[i]] = state.parameters[i].detach();
    loaded["ema." + state.names[i]] = averages[state.names[i]] = state.averages[i];
    for (const auto& set : state.optimizer->state())
      loaded["optimizer." + set.name + "." + state.names[i]] = set.tensors[i];
  }
  CHECK(identical(loaded, stored));
  CHECK(stored.size() == 4 * state.names.size());
  CHECK(stored.count("optimizer.exp_avg_sq.pos_embed") == 1);
  CHECK(identical(averages, tensors_of(kRuns / run / "weights" / "000000048.safetensors")));

  const Scratch scratch;
  state.save(scratch / "again.safetensors", {});
  CHECK(identical(tensors_of(scratch / "again.safetensors"), stored));
}

TEST_CASE("a run of 0.1.0 continues, and stopping on the way changes no bit", "[old_run]") {
  const std::string run = GENERATE("uvic", "uvit");
  const Scratch scratch;
  const auto whole = copied_run(scratch, run, "whole"), parts = copied_run(scratch, run, "parts");
  continue_to(whole, 96);
  continue_to(parts, 64);  // saved by this version
  continue_to(parts, 96);
  const auto state = tensors_of(scratch / "whole" / "state.safetensors");
  CHECK(identical(state, tensors_of(scratch / "parts" / "state.safetensors")));
  CHECK_FALSE(identical(state, tensors_of(kRuns / run / "state.safetensors")));
  const auto stats = RunDir(scratch / "whole").read_stats();
  REQUIRE(stats.size() == 6);  // three of 0.1.0, three of the continuation
  CHECK(stats.back()["images_seen"] == 96);
  CHECK(stats.back()["step"] == 6);
  for (const auto& line : stats) CHECK(line["loss"].get<double>() == Approx(1).margin(0.2));
}

TEST_CASE("a run of 0.1.0 gives the samples that 0.1.0 gave", "[old_run]") {
  const std::string run = GENERATE("uvic", "uvit");
  const Scratch scratch;
  SampleOptions options;
  options.run = copied_run(scratch, run, "run").out;
  options.out = (scratch / "samples").string();
  options.seeds = "0-3";
  options.sample.steps = 5;
  options.precision = "fp32";
  options.threads = 1;
  REQUIRE(run_sample(options));
  for (int seed = 0; seed < 4; ++seed) {
    const auto name = "00000" + std::to_string(seed) + ".png";
    const auto ours = formats::read_image(scratch / "samples" / name);
    const auto theirs = formats::read_image(kRuns / ("samples-" + run) / name);
    REQUIRE(ours.rgb.size() == theirs.rgb.size());
    int largest = 0;
    for (size_t i = 0; i < ours.rgb.size(); ++i)
      largest = std::max(largest, std::abs(int{ours.rgb[i]} - int{theirs.rgb[i]}));
    CHECK(largest <= 1);  // another CPU rounds a sum otherwise; here the files are equal
  }
}
