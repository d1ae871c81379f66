// Folders of samples: whose files are in them, and two launches at a time.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;
using Catch::Matchers::Contains;
namespace formats = uvic::formats;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

Words sampling_steps(const fs::path& out,
                     const std::string& seeds,
                     const std::string& steps = "2") {
  return {"sample",
          "--run",
          trained_run().string(),
          "--out",
          out.string(),
          "--seeds",
          seeds,
          "--sample.steps",
          steps};
}

}  // namespace

TEST_CASE("files that uvic sample did not write are not replaced", "[sample_folder]") {
  const Scratch scratch;
  const auto out = scratch / "s";
  fs::create_directories(out);
  const auto* name = GENERATE("000001.png", "000001_trajectory.png", "grid.png");
  CAPTURE(name);
  std::ofstream(out / name) << "somebody's";
  const auto command = sampling_steps(out, "0-2") + Words{"--trajectory"};
  const auto refused = run_uvic(command);
  check_refused(refused, 2, name);
  CHECK_THAT(refused.err, Contains("--overwrite"));
  CHECK(formats::read_file(out / name) == "somebody's");
  CHECK(run_uvic(command + Words{"--overwrite"}).exit_code == 0);
  CHECK(formats::read_file(out / name) != "somebody's");
}

TEST_CASE("a grid.png that came after samples without one is somebody's", "[sample_folder]") {
  const Scratch scratch;
  const auto out = scratch / "s";
  REQUIRE(run_uvic(sampling_steps(out, "0") + Words{"--grid=false"}).exit_code == 0);
  std::ofstream(out / "grid.png") << "somebody's";
  const auto refused = run_uvic(sampling_steps(out, "0-1"));
  check_refused(refused, 2, "grid.png");
  CHECK_THAT(refused.err, Contains("--overwrite"));
  CHECK(run_uvic(sampling_steps(out, "0-1") + Words{"--grid=false"}).exit_code == 0);
  CHECK(formats::read_file(out / "grid.png") == "somebody's");
}

TEST_CASE("the grid of an earlier launch is replaced, also where its record is of version 0.1.0",
          "[sample_folder]") {
  const Scratch scratch;
  const auto out = scratch / "s";
  REQUIRE(run_uvic(sampling_steps(out, "0")).exit_code == 0);
  auto record = formats::read_json(out / "samples.json");
  CHECK(record.at("grid") == true);
  record.erase("grid");
  formats::write_json(out / "samples.json", record);
  CHECK(run_uvic(sampling_steps(out, "0-1")).exit_code == 0);
}

TEST_CASE("of two launches with other settings that begin at once, one is refused",
          "[sample_folder]") {
  for (int attempt = 0; attempt < 3; ++attempt) {
    const Scratch scratch;
    std::vector<std::unique_ptr<Running>> launches;
    for (const auto* steps : {"20", "21"})
      launches.push_back(std::make_unique<Running>(sampling_steps(scratch / "s", "0-19", steps)));
    std::vector<int> codes;
    for (auto& launch : launches) codes.push_back(launch->wait());
    std::sort(codes.begin(), codes.end());
    CHECK(codes == std::vector<int>{0, 2});
    CHECK(formats::read_json(scratch / "s" / "samples.json").at("finished") == true);
  }
}

TEST_CASE("a hundred million seeds take no memory of their own", "[sample_folder]") {
  const Scratch scratch;
  const auto out = scratch / "s";
  Running launch(sampling_steps(out, "0-99999999"));
  for (int i = 0; i < 3000 && !launch.finished() && !fs::exists(out / "000063.png"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  REQUIRE_FALSE(launch.finished());
  CHECK(launch.peak_resident_mib() < 1000);
  launch.signal(SIGTERM);
  CHECK(launch.wait() == 128 + SIGTERM);
  const auto record = formats::read_json(out / "samples.json");
  CHECK(record.at("finished") == false);
  CHECK_THAT(record.at("missing").get<std::string>(), Contains("-99999999"));
}
