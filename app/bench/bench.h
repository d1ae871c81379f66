// uvic bench: the speed of this machine, of the kernels and of networks.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/field.h"

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
  std::string autoencoder;
  int64_t image_size = 256;
  double seconds = 10;
  bool plain = true;
  std::string json;
  std::string plots;
  std::string precision = "auto";
  std::string device = "auto";
  int64_t threads = 0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("networks", networks, Field{"Configs to compare: names of shipped ones, or files"});
    visit("parts",
          parts,
          Field{"What to measure, any of step,evaluation,sampling,scaling,profile,attention,"
                "products,features,autoencoder,data"});
    visit("batch_size",
          batch_size,
          Field{"Images in a step, an evaluation, a batch of samples",
                base::from(1, base::kMostAtOnce)});
    visit("shards", shards, Field{"As in uvic train", base::from(0, 65536)}.advanced());
    visit("evaluations",
          evaluations,
          Field{"Network evaluations for each image of `sampling`", base::from(1, 100000)});
    visit("batches", batches, Field{"Batch sizes of `scaling`"});
    visit("tokens", tokens, Field{"Lengths of `attention`"});
    visit("data", data, Field{"What `data` loads and `features` reads: as in uvic train"});
    visit("inception", inception, Field{"Weights of the FID Inception, for `features`"});
    visit("autoencoder",
          autoencoder,
          Field{"Weights that `autoencoder` measures, or embedded; empty: random ones of Stable "
                "Diffusion's shape"});
    visit("image_size",
          image_size,
          Field{"Side of the images of `autoencoder`, px", base::from(8, 8192)});
    visit("seconds",
          seconds,
          Field{"Time for each measurement; at least three calls", base::from(0, 86400)});
    visit("plain",
          plain,
          Field{"Also measure the plain tensor code, alternating with the fused kernels"});
    visit("json", json, Field{"Write all numbers to this file"});
    visit("plots", plots, Field{"Folder for plots of `attention` and `scaling`, .svg"});
    visit("precision", precision, base::precision_field("Precision of products and attention"));
    visit("device", device, base::device_field());
    visit("threads", threads, base::threads_field());
  }
  /// Throws std::invalid_argument, before any work.
  void validate() const;
};

/// Measures, and prints each table to stdout when it is complete. Returns the contents of the JSON
/// file: "machine", "options", and one entry for each part.
nlohmann::json run_bench(const BenchOptions& options);

void add_bench_command(CLI::App& app);

}  // namespace uvic::app
