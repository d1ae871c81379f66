// uvic bench: what this machine, these kernels and these networks do in a second.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace uvic::app {

struct BenchOptions {
  std::string networks = "cifar10_uvit_small,cifar10_uvic_small";
  std::string parts = "step,evaluation,sampling,scaling,profile,attention,products,features,data";
  int64_t batch_size = 16;
  int64_t shards = 0;
  int64_t evaluations = 4;
  std::string batches = "1,2,4,8,16,32";
  std::string tokens = "64,128,257,512,1025,2048,4096";
  std::string data = "procedural";
  std::string inception;
  double seconds = 10;
  bool plain = true;
  std::string json;
  std::string plots;
  std::string precision = "auto";
  std::string device = "auto";
  int64_t threads = 0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("networks", networks, "Configs: names of shipped ones or files, side by side");
    visit("parts",
          parts,
          "What to measure, any of step,evaluation,sampling,scaling,profile,attention,products,"
          "features,data");
    visit("batch_size", batch_size, "Images in a step, an evaluation, a batch of pictures");
    visit("shards", shards, "As in uvic train");
    visit("evaluations", evaluations, "Network evaluations for each picture of `sampling`");
    visit("batches", batches, "Batch sizes of `scaling`");
    visit("tokens", tokens, "Lengths of `attention`");
    visit("data", data, "What `data` loads and `features` looks at: as in uvic train");
    visit("inception", inception, "Weights of the FID Inception, for `features`");
    visit("seconds", seconds, "Time for each thing measured; never fewer than three calls");
    visit("plain", plain, "Measure the plain tensor code too, in turns with the fused kernels");
    visit("json", json, "Write all numbers to this file");
    visit("plots", plots, "Folder for plots of `attention` and `scaling`, .svg");
    visit("precision", precision, "auto | bf16 | fp32");
    visit("device", device, "auto | cpu | cuda");
    visit("threads", threads, "Threads for tensor work; 0: all usable cores");
  }
  /// Throws std::invalid_argument, before any work.
  void validate() const;
};

/// Measures and prints tables to stdout as they are made. Returns what the file holds: "machine",
/// "options", and one entry for each part.
nlohmann::json run_bench(const BenchOptions& options);

void add_bench_command(CLI::App& app);

}  // namespace uvic::app
