// uvic compare: the order of its runs, what it repeats and what it doesn't.
#include "app/compare.h"

#include <nlohmann/json.hpp>

#include "app/assets.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

namespace fs = std::filesystem;
using namespace uvic::app;
using namespace uvic::test;
using uvic::formats::read_file;

namespace {

/// Two configs that train in a second, on pictures drawn by formula.
struct Tiny {
  Scratch scratch;
  CompareOptions options;

  Tiny() {
    for (const auto* attention : {"softmax", "cog"}) {
      const auto path = scratch / (std::string(attention) + ".toml");
      uvic::formats::write_file_atomically(
          path,
          fmt::format("total_images = 64\nbatch_size = 16\nseed = 5\nlog_images = 32\ngrid_images "
                      "= 32\ngrid_count = 10\n"
                      "checkpoint_images = 32\nscore_count = 24\n[model]\nimg_size = "
                      "16\npatch_size = 4\nembed_dim = 32\n"
                      "depth = 2\nnum_heads = 2\nnum_classes = 10\nattention = "
                      "\"{}\"\n[dataset]\nprocedural_images = 200\n"
                      "[sample]\nsteps = 3\n",
                      attention));
      options.config.push_back(path.string());
    }
    options.held_out = "procedural:9";
  }

  std::vector<ComparedRun> plan() {
    return plan_comparison(
        options, scratch / "out", [](TrainOptions& training) { training.data = "procedural"; });
  }
};

bool has_extractor() {
  try {
    return fs::exists(asset("assets/embedded_features.safetensors"));
  } catch (const std::runtime_error&) {
    return false;
  }
}

}  // namespace

TEST_CASE("runs go seed by seed through all configs, each in its own folder", "[compare]") {
  Tiny tiny;
  tiny.options.seeds_per_config = 2;
  const auto plan = tiny.plan();
  REQUIRE(plan.size() == 4);
  CHECK(plan[0].column == "softmax");
  CHECK(plan[1].column == "cog");
  CHECK(plan[1].training.seed == 5);
  CHECK(plan[2].training.seed == 6);
  CHECK(plan[2].column == "softmax");
  CHECK(plan[3].training.out == (tiny.scratch / "out" / "runs" / "cog-seed6").string());
}

TEST_CASE("flags win over every config", "[compare]") {
  Tiny tiny;
  for (const auto& run : plan_comparison(
           tiny.options, tiny.scratch / "out", [](TrainOptions& t) { t.total_images = 7; }))
    CHECK(run.training.total_images == 7);
}

TEST_CASE("configs that can't stand beside each other are refused before any work", "[compare]") {
  Tiny tiny;
  auto options = tiny.options;
  SECTION("same name twice") { options.config[1] = options.config[0]; }
  SECTION("names don't match configs") { options.name = {"one"}; }
  SECTION("no config") { options.config.clear(); }
  SECTION("no seed") { options.seeds_per_config = 0; }
  SECTION("unknown config") { options.config[1] = "no_such_config"; }
  CHECK_THROWS_AS(plan_comparison(options, tiny.scratch / "out", [](TrainOptions&) {}),
                  std::invalid_argument);
}

TEST_CASE("pictures of two sizes are refused", "[compare]") {
  Tiny tiny;
  int64_t size = 16;
  CHECK_THROWS_AS(plan_comparison(tiny.options,
                                  tiny.scratch / "out",
                                  [&](TrainOptions& t) { t.model.img_size = size, size += 16; }),
                  std::invalid_argument);
}

TEST_CASE(
    "a comparison stopped half way and repeated trains, draws and scores only what is missing",
    "[compare]") {
  if (!has_extractor()) UVIC_SKIP("the embedded feature network is not there");
  Tiny tiny;
  const auto out = tiny.scratch / "out";
  const auto plan = tiny.plan();
  // As if stopped after the first config.
  REQUIRE(run_comparison(tiny.options, out, {plan[0]}));
  const auto stats = read_file(plan[0].training.out + "/stats.jsonl"),
             score = read_file(plan[0].score);
  const auto picture_time = fs::last_write_time(plan[0].samples / "000003.png");

  REQUIRE(run_comparison(tiny.options, out, plan));
  CHECK(read_file(plan[0].training.out + "/stats.jsonl") == stats);
  CHECK(read_file(plan[0].score) == score);
  CHECK(fs::last_write_time(plan[0].samples / "000003.png") == picture_time);

  const auto data = uvic::formats::read_json(out / "report.json");
  REQUIRE(data["entries"].size() == 2);
  CHECK(data["entries"][1]["metrics"][0]["values"].size() == 1);
  CHECK(data["baselines"].size() == 2);
  for (const auto& check : data["held_equal"]) {
    INFO(check.dump());
    CHECK(check["equal"] == true);
  }
  CHECK(fs::exists(out / "report.html"));
  CHECK(fs::exists(out / "samples" / "real" / "000023.png"));
}
