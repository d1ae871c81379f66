// Trainings on several processes, for tests.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/collectives.h"
#include "base/torch.h"
#include "data/formats/json.h"
#include "data/formats/safetensors.h"
#include "tests/cli/program.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"
#include "tests/support/skip.h"

namespace uvic::test {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

inline Words plain_training(const fs::path& out, int64_t total_images = 320) {
  return tiny_training(out, total_images) +
         Words{"--threads", "1", "--grid_images", "0", "--log_images", "16"};
}

inline Words several(int64_t processes) { return {"--processes", std::to_string(processes)}; }

inline formats::TensorFile state_of(const fs::path& run) {
  return formats::read_safetensors(run / "state.safetensors");
}

inline bool same_bits(const formats::TensorFile& a, const formats::TensorFile& b) {
  if (a.tensors.empty() || a.tensors.size() != b.tensors.size()) return false;
  for (const auto& [name, tensor] : a.tensors)
    if (!b.tensors.count(name) || !torch::equal(tensor, b.tensors.at(name))) return false;
  return true;
}

/// |a - b| / |b| over all weights.
inline double distance(const formats::TensorFile& a, const formats::TensorFile& b) {
  double difference = 0, norm = 0;
  for (const auto& [name, tensor] : b.tensors) {
    if (name.rfind("model.", 0) != 0) continue;
    difference += (a.tensors.at(name) - tensor).to(torch::kFloat64).square().sum().item<double>();
    norm += tensor.to(torch::kFloat64).square().sum().item<double>();
  }
  return std::sqrt(difference / norm);
}

/// The number under that key of every log line with a loss.
inline std::vector<double> logged(const fs::path& run, const char* key) {
  std::vector<double> all;
  std::ifstream file(run / "stats.jsonl");
  for (std::string line; std::getline(file, line);)
    if (const auto json = nlohmann::json::parse(line); json.contains("loss"))
      all.push_back(json[key].get<double>());
  return all;
}

inline std::vector<double> losses(const fs::path& run) { return logged(run, "loss"); }

inline std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// The process ids of a run's ranks, which their parent has started.
inline std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  std::istringstream list(
      text_of("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children"));
  for (pid_t pid = 0; list >> pid;) children.push_back(pid);
  return children;
}

inline void wait_until(const std::function<bool()>& holds) {
  for (int i = 0; i < 1200 && !holds(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  REQUIRE(holds());
}

inline size_t lines_of(const std::string& text, const std::string& prefix) {
  std::istringstream lines(text);
  size_t count = 0;
  for (std::string line; std::getline(lines, line);) count += line.rfind(prefix, 0) == 0;
  return count;
}

/// A long training on two processes, of which a few steps are done.
class Training {
 public:
  /// By default each process has the whole state.
  explicit Training(const std::string& timeout_sec = "20",
                    const Words& more = {"--sharded_optimizer", "false"})
      : log_(::open((scratch_ / "err").c_str(), O_WRONLY | O_CREAT, 0644)),
        program_(plain_training(run(), 100000000) + several(2) +
                     Words{"--timeout_sec", timeout_sec, "--checkpoint_images", "160"} + more,
                 log_) {
    wait_until([&] { return fs::exists(run() / "state.safetensors"); });
    ranks_ = children_of(program_.pid());
    REQUIRE(ranks_.size() == 2);
  }
  ~Training() { ::close(log_); }

  fs::path run() const { return scratch_ / "run"; }
  void signal(size_t rank, int number) const { kill(ranks_[rank], number); }
  void signal_all(int number) const { program_.signal(number); }
  /// The exit code, and what was said; all ranks have ended.
  int wait() {
    const auto begin = std::chrono::steady_clock::now();
    const int code = program_.wait();
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(30));
    for (const auto pid : ranks_) CHECK(kill(pid, 0) != 0);
    return code;
  }
  std::string err() const { return text_of(scratch_ / "err"); }
  int64_t images_saved() const {
    return std::stoll(state_of(run()).metadata.at("uvic.images_seen"));
  }
  /// What the state holds can be continued, by one process.
  void check_state() const {
    const auto images = images_saved();
    CHECK(images >= 160);
    CHECK(
        run_uvic({"train", "--out", run().string(), "--total_images", std::to_string(images + 16)})
            .exit_code == 0);
  }

 private:
  Scratch scratch_;
  int log_;
  Running program_;
  std::vector<pid_t> ranks_;
};

}  // namespace uvic::test
