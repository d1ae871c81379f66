// uvic sweep: distance against evaluations.
#include <torch/script.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;
using Catch::Matchers::Contains;
namespace formats = uvic::formats;
namespace fs = std::filesystem;
using Words = std::vector<std::string>;

TEST_CASE("sweep scores each sampler at each count of evaluations, and resumes", "[sweep]") {
  const Scratch scratch;
  REQUIRE(run_uvic(tiny_training(scratch / "run", 160)).exit_code == 0);
  const Words sweep = {"sweep",
                       "--run",
                       (scratch / "run").string(),
                       "--out",
                       (scratch / "out").string(),
                       "--samplers",
                       "ddim,heun,dpm_solver_pp:order=3:last_step=zero",
                       "--evaluations",
                       "1,6",
                       "--count",
                       "8",
                       "--num_ref",
                       "20"};
  const auto outcome = run_uvic(sweep);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  CHECK_THAT(outcome.out, Contains("| ddim |") && Contains("at evaluations: | 1 | 6 |"));
  const auto points = formats::read_json(scratch / "out" / "sweep.json").at("points");
  // One evaluation is too few for a step and the prediction of x0 after it.
  REQUIRE(points.size() == 5);
  CHECK(points[3].at("sampler") == "heun");
  CHECK(points[3].at("asked_evaluations") == 6);
  CHECK(points[3].at("evaluations") == 5);  // three steps
  CHECK(points[4].at("evaluations") == 6);  // five steps and the prediction after them
  for (const auto& point : points) CHECK(point.at("distance") > 0);
  CHECK_THAT(formats::read_file(scratch / "out" / "sweep.svg"),
             Contains("<svg") && Contains("dpm_solver_pp:order=3"));

  const auto folder = scratch / "out" / "samples" / "ddim-6-evaluations-8-images-guidance-1-at-160";
  const auto drawn = fs::last_write_time(folder / "000007.png");
  const auto score = fs::last_write_time(folder.string() + ".json");
  REQUIRE(run_uvic(sweep).exit_code == 0);
  CHECK(fs::last_write_time(folder / "000007.png") == drawn);
  CHECK(fs::last_write_time(folder.string() + ".json") == score);
  CHECK(formats::read_json(scratch / "out" / "sweep.json").at("points") == points);

  REQUIRE(run_uvic(sweep + Words{"--count", "4"}).exit_code == 0);
  const auto fewer = formats::read_json(scratch / "out" / "sweep.json");
  CHECK(fewer.at("settings").at("count") == 4);
  CHECK(fewer.at("points")[0].at("distance") != points[0].at("distance"));
  CHECK_FALSE(fs::exists(scratch / "out" / "samples" /
                         "ddim-6-evaluations-4-images-guidance-1-at-160" / "000004.png"));
}

TEST_CASE("sweep uses the run's data, guidance and sampler, and says what it used", "[sweep]") {
  const Scratch scratch;
  const auto out = scratch / "out";
  const Words sweep = {"sweep",
                       "--run",
                       trained_run().string(),
                       "--out",
                       out.string(),
                       "--checkpoints",
                       "all",
                       "--guidance_scale",
                       "1,2",
                       "--count",
                       "20",
                       "--num_ref",
                       "30"};
  const auto outcome = run_uvic(sweep);
  CAPTURE(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  const auto result = formats::read_json(out / "sweep.json");
  REQUIRE(result.at("points").size() == 4);
  for (const auto& point : result.at("points")) {
    CHECK(point.at("sampler") == "unipc");
    CHECK(point.at("evaluations") == 4);  // the run's
    CHECK(point.at("std") > 0);
    CHECK(point.at("leave_out").size() == 10);
  }
  CHECK(result.at("points")[0].at("images_seen") == 160);
  CHECK(result.at("points")[3].at("guidance_scale") == 2);
  CHECK(result.at("points")[3].at("images_seen") == 320);
  CHECK(result.at("settings").at("reference_source") == "procedural");
  CHECK(result.at("settings").at("reference").at("count") == 30);
  CHECK_THAT(formats::read_file(out / "sweep.md"),
             Contains("20 images a point, seeds 0-19; reference procedural (30 images)") &&
                 Contains("±") && Contains("picked afterwards"));
  CHECK_THAT(formats::read_file(out / "sweep.csv"), Contains("FD (embedded) error"));
  CHECK_THAT(formats::read_file(out / "sweep.tex"), Contains("\\pm"));
  CHECK_THAT(formats::read_file(out / "heat_guidance_checkpoint.svg"), Contains("class=\"cell\""));
}

TEST_CASE("sweep with nothing else swept has the run's guidance; its extractor is any", "[sweep]") {
  const Scratch scratch;
  torch::jit::Module colours("extractor");
  colours.define("def forward(self, x):\n    return x.float().mean([2, 3])\n");
  colours.save((scratch / "colour.pt").string());
  const auto json = run_uvic({"--json",
                              "sweep",
                              "--run",
                              trained_run().string(),
                              "--out",
                              (scratch / "plain").string(),
                              "--samplers",
                              "ddim",
                              "--evaluations",
                              "3",
                              "--count",
                              "8",
                              "--num_ref",
                              "30",
                              "--score_extractor",  // as in train and compare
                              (scratch / "colour.pt").string()});
  CAPTURE(json.err);
  REQUIRE(json.exit_code == 0);
  const auto printed = nlohmann::json::parse(json.out);
  CHECK(printed.at("points")[0].at("guidance_scale") == 1);
  CHECK(printed.at("settings").at("extractor") == "torchscript/colour");
  CHECK(printed.at("points")[0].at("std").is_null());  // fewer than 20 images
}

TEST_CASE("sweep takes no samples of other settings for its own", "[sweep]") {
  const Scratch scratch;
  fs::copy(trained_run(), scratch / "run", fs::copy_options::recursive);
  const auto sweep = [&](const char* out) {
    return Words{"sweep",
                 "--run",
                 (scratch / "run").string(),
                 "--out",
                 (scratch / out).string(),
                 "--samplers",
                 "ddim",
                 "--evaluations",
                 "3",
                 "--guidance_scale",
                 "100",
                 "--count",
                 "20",
                 "--num_ref",
                 "30"};
  };
  const auto distance = [&](const char* out) {
    return formats::read_json(scratch / out / "sweep.json").at("points")[0].at("distance");
  };
  REQUIRE(run_uvic(sweep("out")).exit_code == 0);
  const auto before = distance("out");

  const auto config = scratch / "run" / "config.toml";
  auto text = formats::read_file(config);
  const std::string guided_from = "guidance_t_low = ";
  const auto at = text.find(guided_from);
  REQUIRE(at != std::string::npos);
  text.replace(at, text.find('\n', at) - at, guided_from + "1.0");
  formats::write_file_atomically(config, text);

  const auto refused = run_uvic(sweep("out"));
  CHECK(refused.exit_code != 0);
  CHECK_THAT(refused.err, Contains("another guidance_t_low"));
  REQUIRE(run_uvic(sweep("out") + Words{"--overwrite"}).exit_code == 0);
  REQUIRE(run_uvic(sweep("new")).exit_code == 0);
  CHECK(distance("out") != before);
  CHECK(distance("out") == distance("new"));
}

TEST_CASE("sweep refuses what can't be before any work", "[sweep]") {
  const Scratch scratch;
  const Words sweep = {
      "sweep", "--run", scratch.path().string(), "--out", (scratch / "out").string()};
  const std::vector<std::pair<Words, std::string>> wrong = {
      {{"--samplers", "nope"}, "give one of"},
      {{"--samplers", "ddim:bad=1"}, "bad"},
      {{"--samplers", "dpm_solver:method=adaptive"}, "can't be chosen"},
      {{"--evaluations", "5,x"}, "wants counts"},
      {{"--evaluations", "0"}, "wants counts"},
      {{"--count", "1"}, "give a number from 2 to"},
      {{"--guidance_scale", "1,x"}, "wants numbers"},
      {{"--guidance_interval", "0.8-0.2"}, "LOW < HIGH"},
      {{"--checkpoints", "newest"}, "every=IMAGES"},
      {{"--table", "xls"}, "markdown"},
      {{"--score_extractor", "embedded", "--extractor", "embedded"}, "--extractor"},
  };
  for (const auto& [words, what] : wrong) {
    const auto outcome = run_uvic(sweep + words);
    CHECK(outcome.exit_code == 2);
    CHECK_THAT(outcome.err, Contains(what));
  }
  CHECK(run_uvic(sweep).exit_code == 1);  // an empty folder is no run
  CHECK_FALSE(fs::exists(scratch / "out"));
}

TEST_CASE("fid --checkpoints best says who picked it, and warns where its seeds are scored again",
          "[sweep][fid]") {
  const Scratch scratch;
  REQUIRE(run_uvic(tiny_training(scratch / "run", 320) +
                   Words{"--score_images", "160", "--score_count", "20"})
              .exit_code == 0);
  const auto score = [&](const Words& more) {
    const auto outcome =
        run_uvic(Words{"fid", "--run", (scratch / "run").string(), "--num_ref", "30"} + more);
    CAPTURE(outcome.err);
    REQUIRE(outcome.exit_code == 0);
    CHECK_THAT(outcome.err, Contains("reference: procedural, the run's own"));
    return outcome;
  };
  const auto same = score({"--checkpoints", "best", "--seeds", "10-29"});
  const std::string why =
      "the run picked it by samples of seeds 0-19, of which 10 are scored again here";
  CHECK_THAT(same.err,
             Contains("warning: --checkpoints best: " + why) && Contains("--seeds 20-39"));
  CHECK_THAT(same.out,
             Contains("picked this checkpoint by the scores of its own training") && Contains(why));
  const auto others = score({"--checkpoints", "best", "--seeds", "20-39"});
  CHECK_THAT(others.err, !Contains("picked it by samples"));
  CHECK_THAT(others.out,
             Contains("picked this checkpoint by the scores of its own training") &&
                 !Contains("picked afterwards") && !Contains("Warning"));
  const auto latest = score({"--checkpoints", "latest", "--seeds", "0-19"});
  CHECK_THAT(latest.out, !Contains("picked"));
  const auto all = score({"--checkpoints", "all", "--seeds", "0-19"});
  CHECK_THAT(all.out, Contains("The best of 2 was picked afterwards"));
  // Statistics alone need no reference.
  CHECK(run_uvic({"fid",
                  "--run",
                  (scratch / "run").string(),
                  "--seeds",
                  "0-19",
                  "--save_stats",
                  (scratch / "s.npz").string()})
            .err.find("reference:") == std::string::npos);
}

TEST_CASE("fid and sweep score a run by its own feature network unless another is given",
          "[sweep][fid]") {
  const Scratch scratch;
  const auto own = (scratch / "own.safetensors").string();
  fs::copy_file(fs::path(UVIC_GOLDEN_DIR) / "../../assets/embedded_features.safetensors", own);
  const auto run = (scratch / "run").string();
  REQUIRE(run_uvic(tiny_training(run, 64) +
                   Words{"--score_images", "64", "--score_count", "20", "--score_extractor", own})
              .exit_code == 0);
  const auto line = "feature network: " + own + ", the run's own\n";
  const Words fid = {"fid", "--run", run, "--num_ref", "30", "--seeds", "0-19"};
  const auto by_default = run_uvic(fid);
  CAPTURE(by_default.err);
  CHECK(by_default.exit_code == 0);
  CHECK_THAT(by_default.out, Contains("FD (embedded/own) = "));
  CHECK_THAT(by_default.err, Contains(line));
  for (const char* option : {"--extractor", "--score_extractor"}) {
    const auto given = run_uvic(fid + Words{option, "embedded"});
    CHECK_THAT(given.out, Contains("FD (embedded) = "));
    CHECK_THAT(given.err, !Contains("feature network"));
  }
  const auto swept = run_uvic({"sweep",
                               "--run",
                               run,
                               "--out",
                               (scratch / "sweep").string(),
                               "--samplers",
                               "ddim:order=3",
                               "--evaluations",
                               "2",
                               "--count",
                               "20",
                               "--num_ref",
                               "30",
                               "--inception",
                               own});
  CAPTURE(swept.err);
  CHECK(swept.exit_code == 0);  // which is not read, not refused as in fid
  CHECK_THAT(swept.err,
             Contains(line) && Contains("--inception is not read") &&
                 Contains("note: --samplers ddim:order=3: order is not read"));
  CHECK(formats::read_json(scratch / "sweep" / "sweep.json").at("name") == "FD (embedded/own)");
}
