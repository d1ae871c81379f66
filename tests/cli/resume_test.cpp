#include <chrono>
#include <csignal>
#include <filesystem>
#include <random>
#include <thread>

#include "data/formats/atomic_file.h"
#include "data/formats/safetensors.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::test;
namespace fs = std::filesystem;

namespace {

// Bit for bit, tensor for tensor.
bool same_weights(const fs::path& a, const fs::path& b) {
  const auto x = uvic::formats::read_safetensors(a).tensors,
             y = uvic::formats::read_safetensors(b).tensors;
  if (x.empty() || x.size() != y.size()) return false;
  for (const auto& [name, tensor] : x)
    if (!y.count(name) || !torch::equal(tensor, y.at(name))) return false;
  return true;
}

std::vector<std::string> resumed_training(const fs::path& out) {
  return tiny_training(out, 9600) + std::vector<std::string>{"--label_dropout",
                                                             "0.1",
                                                             "--model.num_classes",
                                                             "11",
                                                             "--grid_images",
                                                             "0",
                                                             "--threads",
                                                             "1"};
}

}  // namespace

TEST_CASE("a run killed five times at random moments ends in the very weights of one never killed",
          "[resume]") {
  const Scratch scratch;
  const auto whole = scratch / "whole", killed = scratch / "killed";
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(run_uvic(resumed_training(whole)).exit_code == 0);
  const auto whole_time = std::chrono::steady_clock::now() - start;

  std::mt19937 random(20240911);
  std::uniform_real_distribution<double> moment(0.1, 0.35);
  int kills = 0;
  for (int attempt = 0; kills < 5 && attempt < 40; ++attempt) {
    Running run(resumed_training(killed));
    std::this_thread::sleep_for(
        std::chrono::duration_cast<std::chrono::milliseconds>(whole_time * moment(random)));
    run.signal(SIGKILL);
    if (run.wait() == 128 + SIGKILL) {
      ++kills;
    } else {  // it came to its end first: once more from the beginning
      fs::remove_all(killed);
      kills = 0;
    }
  }
  REQUIRE(kills == 5);
  REQUIRE(run_uvic(resumed_training(killed)).exit_code == 0);
  CHECK(same_weights(whole / "weights" / "000009600.safetensors",
                     killed / "weights" / "000009600.safetensors"));
}

TEST_CASE("a signal while a grid is drawn loses nothing of the training", "[resume]") {
  const Scratch scratch;
  const auto out = scratch / "run";
  // A grid after every fourth step takes far longer than they do.
  Running run(tiny_training(out, 1'000'000) +
              std::vector<std::string>{
                  "--grid_images", "64", "--grid_count", "1000", "--checkpoint_images", "1000000"});
  while (!run.finished() && (!fs::exists(out / "grids") || fs::is_empty(out / "grids")))
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  run.signal(SIGINT);
  CHECK(run.wait() == 128 + SIGINT);
  CHECK(fs::exists(out / "state.safetensors"));
}

TEST_CASE("a finished run stays what it was, and gets the grid that it lacks", "[resume]") {
  const Scratch scratch;
  const auto out = scratch / "run";
  const auto command =
      tiny_training(out, 64) + std::vector<std::string>{"--grid_images", "64", "--grid_count", "4"};
  REQUIRE(run_uvic(command).exit_code == 0);
  const auto grid = out / "grids" / "000000064.png";
  REQUIRE(fs::remove(grid));
  const auto config = uvic::formats::read_file(out / "config.toml");
  CHECK(run_uvic(command + std::vector<std::string>{"--optimizer.lr", "0.5"}).exit_code == 0);
  CHECK(fs::exists(grid));
  CHECK(uvic::formats::read_file(out / "config.toml") == config);
  const auto other = run_uvic(command + std::vector<std::string>{"--diffusion.prediction", "v"});
  CHECK(other.exit_code == 2);
  CHECK(other.err.find("diffusion.prediction") != std::string::npos);
}

TEST_CASE("pictures may lie in a folder whose name is no UTF-8", "[resume]") {
  const Scratch scratch;
  const auto zip = scratch / "caf\xe9.zip";
  REQUIRE(run_uvic({"dataset", "procedural", zip.string(), "--num_images", "20"}).exit_code == 0);
  auto command = tiny_training(scratch / "run", 32);
  for (auto& word : command)
    if (word == "procedural") word = zip.string();
  const auto outcome = run_uvic(command);
  INFO(outcome.err);
  CHECK(outcome.exit_code == 0);
  CHECK(fs::exists(scratch / "run" / "state.safetensors"));
}

TEST_CASE("SIGTERM saves and stops with 143, and the same command finishes the run", "[resume]") {
  const Scratch scratch;
  const auto whole = scratch / "whole", stopped = scratch / "stopped";
  REQUIRE(run_uvic(resumed_training(whole)).exit_code == 0);
  {
    Running run(resumed_training(stopped) +
                std::vector<std::string>{"--checkpoint_images", "1000000"});
    while (!run.finished() && !fs::exists(stopped / "stats.jsonl"))
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    CHECK(fs::exists(stopped / "state.safetensors"));
  }
  REQUIRE(run_uvic(resumed_training(stopped)).exit_code == 0);
  CHECK(same_weights(whole / "weights" / "000009600.safetensors",
                     stopped / "weights" / "000009600.safetensors"));
}
