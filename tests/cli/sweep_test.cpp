// uvic sweep: distance against evaluations.
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
  CHECK_THAT(outcome.out, Contains("| `ddim` |") && Contains("at evaluations: | 1 | 6 |"));
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

  const auto picture = scratch / "out" / "samples" / "ddim-6-evaluations-8-pictures" / "000007.png";
  const auto drawn = fs::last_write_time(picture);
  REQUIRE(run_uvic(sweep).exit_code == 0);
  CHECK(fs::last_write_time(picture) == drawn);
  CHECK(formats::read_json(scratch / "out" / "sweep.json").at("points") == points);

  REQUIRE(run_uvic(sweep + Words{"--count", "4"}).exit_code == 0);
  const auto fewer = formats::read_json(scratch / "out" / "sweep.json");
  CHECK(fewer.at("count") == 4);
  CHECK(fewer.at("points")[0].at("distance") != points[0].at("distance"));
  CHECK_FALSE(
      fs::exists(scratch / "out" / "samples" / "ddim-6-evaluations-4-pictures" / "000004.png"));
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
  };
  for (const auto& [words, what] : wrong) {
    const auto outcome = run_uvic(sweep + words);
    CHECK(outcome.exit_code == 2);
    CHECK_THAT(outcome.err, Contains(what));
  }
  CHECK(run_uvic(sweep).exit_code == 1);  // an empty folder is no run
  CHECK_FALSE(fs::exists(scratch / "out"));
}
