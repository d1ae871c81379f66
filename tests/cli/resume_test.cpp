#include <chrono>
#include <csignal>
#include <filesystem>
#include <random>
#include <thread>

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

std::vector<std::string> training(const fs::path& out) {
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
  REQUIRE(run_uvic(training(whole)).exit_code == 0);
  const auto whole_time = std::chrono::steady_clock::now() - start;

  std::mt19937 random(20240911);
  std::uniform_real_distribution<double> moment(0.1, 0.35);
  int kills = 0;
  for (int attempt = 0; kills < 5 && attempt < 40; ++attempt) {
    Running run(training(killed));
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
  REQUIRE(run_uvic(training(killed)).exit_code == 0);
  CHECK(same_weights(whole / "weights" / "000009600.safetensors",
                     killed / "weights" / "000009600.safetensors"));
}

TEST_CASE("SIGTERM saves and stops with 143, and the same command finishes the run", "[resume]") {
  const Scratch scratch;
  const auto whole = scratch / "whole", stopped = scratch / "stopped";
  REQUIRE(run_uvic(training(whole)).exit_code == 0);
  {
    Running run(training(stopped) + std::vector<std::string>{"--checkpoint_images", "1000000"});
    while (!run.finished() && !fs::exists(stopped / "stats.jsonl"))
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    run.signal(SIGTERM);
    CHECK(run.wait() == 128 + SIGTERM);
    CHECK(fs::exists(stopped / "state.safetensors"));
  }
  REQUIRE(run_uvic(training(stopped)).exit_code == 0);
  CHECK(same_weights(whole / "weights" / "000009600.safetensors",
                     stopped / "weights" / "000009600.safetensors"));
}
