// Outputs that can't be written: full disks, what is in the way, a folder that is in use.
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "tests/cli/program.h"
#include "tests/cli/refusal.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

using namespace uvic::test;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

/// Images seen and loss of each line of a run's log.
std::vector<std::pair<int64_t, double>> losses(const fs::path& run) {
  std::vector<std::pair<int64_t, double>> lines;
  std::ifstream stats(run / "stats.jsonl");
  for (std::string text; std::getline(stats, text);)
    if (const auto line = nlohmann::json::parse(text); line.contains("loss"))
      lines.emplace_back(line.at("images_seen"), line.at("loss"));
  return lines;
}

}  // namespace

TEST_CASE("an output that can't be written is told before training", "[usage]") {
  const Scratch scratch;
  std::ofstream(scratch / "file") << "in the way";
  check_refused(run_uvic(tiny_training(scratch / "file" / "run")), 1, "file");
}

TEST_CASE("a full disk ends the run with one line, and no torn file stands under a final name",
          "[usage]") {
  if (geteuid() != 0) UVIC_SKIP("mounting a small file system needs root");
  const Scratch scratch;
  const auto disk = scratch / "disk";
  fs::create_directory(disk);
  if (mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=150k") != 0)
    UVIC_SKIP("no tmpfs can be mounted here");
  const auto outcome = run_uvic(tiny_training(disk / "run"));
  std::vector<std::string> torn;
  for (const auto& entry : fs::recursive_directory_iterator(disk))
    if (entry.path().extension() == ".safetensors" && entry.file_size() == 0)
      torn.push_back(entry.path().string());
  umount(disk.c_str());
  CAPTURE(outcome.err);
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.err, Contains("No space left on device"));
  CHECK(torn.empty());
}

TEST_CASE("after a full disk the same command continues, and logs every step once", "[usage]") {
  if (geteuid() != 0) UVIC_SKIP("mounting a small file system needs root");
  const Scratch scratch;
  const auto training = [](const fs::path& out) {
    return tiny_training(out, 160) + Words{"--log_images", "16", "--checkpoint_images", "32"};
  };
  REQUIRE(run_uvic(training(scratch / "whole")).exit_code == 0);
  const auto all = losses(scratch / "whole");
  REQUIRE(all.size() == 10);

  const auto disk = scratch / "disk";
  fs::create_directory(disk);
  int stopped = 0;
  for (const auto* size : {"64k", "128k", "192k", "256k", "320k"}) {
    INFO(size);
    if (mount("tmpfs", disk.c_str(), "tmpfs", 0, fmt::format("size={}", size).c_str()) != 0)
      UVIC_SKIP("no tmpfs can be mounted here");
    stopped += run_uvic(training(disk / "run")).exit_code != 0;
    REQUIRE(mount("tmpfs", disk.c_str(), "tmpfs", MS_REMOUNT, "size=16m") == 0);
    const auto outcome = run_uvic(training(disk / "run"));
    const auto continued = outcome.exit_code == 0 ? losses(disk / "run") : decltype(all){};
    umount(disk.c_str());
    CAPTURE(outcome.err);
    CHECK(continued == all);
  }
  CHECK(stopped >= 2);
}

TEST_CASE("a grid that can't be written loses no step, and is drawn by the same command",
          "[usage]") {
  const Scratch scratch;
  const auto run = scratch / "run";
  const auto training = [&](int64_t images) {
    return tiny_training(run, images) + Words{"--grid_images",
                                              "32",
                                              "--checkpoint_images",
                                              "1000",
                                              "--log_images",
                                              "16",
                                              "--sample.steps",
                                              "1"};
  };
  REQUIRE(run_uvic(training(64)).exit_code == 0);
  const auto in_the_way = run / "grids" / "000000096.png";
  fs::create_directories(in_the_way / "x");
  const auto stopped = run_uvic(training(160));
  CHECK(stopped.exit_code == 1);
  CHECK_THAT(stopped.err, Contains("saved at 96 images") && Contains("000000096.png: can't write"));
  CHECK(losses(run).size() == 6);
  const auto state = run_uvic({"--json", "inspect", run.string()});
  CHECK(nlohmann::json::parse(state.out).at("images_seen") == 96);
  fs::remove_all(in_the_way);
  REQUIRE(run_uvic(training(160)).exit_code == 0);
  CHECK(losses(run).size() == 10);
  for (const auto* grid : {"000000096.png", "000000128.png", "000000160.png"})
    CHECK(fs::is_regular_file(run / "grids" / grid));
}

TEST_CASE("two processes do not train in one folder", "[usage]") {
  const Scratch scratch;
  Running first(tiny_training(scratch / "run", 1000000));
  while (!first.finished() && !fs::exists(scratch / "run" / "stats.jsonl")) usleep(20000);
  REQUIRE_FALSE(first.finished());
  check_refused(run_uvic(tiny_training(scratch / "run", 1000000)),
                1,
                "another process trains in this folder");
}
