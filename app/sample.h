// uvic sample: pictures from a trained run, one PNG for each seed.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "diffusion/guidance.h"
#include "diffusion/sampler.h"

namespace uvic::app {

struct SampleOptions {
  std::string run;
  std::string config;
  std::string weights;
  std::string out;
  std::string seeds = "0-63";
  std::string labels;
  diffusion::GuidanceConfig guidance;
  int64_t batch_size = 64;
  std::string precision = "auto";
  std::string device = "auto";
  int64_t threads = 0;
  bool grid = true;
  bool overwrite = false;
  bool list = false;
  std::string preset;
  diffusion::SamplerConfig sample;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("run", run, "Folder of the run; its config describes the network");
    visit("config",
          config,
          "Training config that describes the network of --weights, where there is no --run");
    visit("weights",
          weights,
          "Weights to draw from, .safetensors or .pth; empty: the run's latest EMA weights");
    visit("out",
          out,
          "Folder of the pictures: 000000.png by seed, folders per thousand past ten thousand");
    visit("seeds", seeds, "Which pictures, as 0-63,100; a picture depends on its seed alone");
    visit("labels",
          labels,
          "Classes by number or name, as 3 or cat,dog, dealt out by seed; empty: all in turn");
    guidance.fields(visit);
    visit("batch_size",
          batch_size,
          "Pictures drawn at once; changes speed and memory, never a picture");
    visit("precision", precision, "auto | bf16 | fp32");
    visit("device", device, "auto | cpu | cuda");
    visit("threads", threads, "Threads for tensor work; 0: all usable cores");
    visit("grid", grid, "Also write grid.png, the first pictures on one sheet");
    visit("overwrite", overwrite, "Draw again what stands there already, also with other settings");
    visit("list", list, "Explain every sampler and stop");
    visit("preset",
          preset,
          "A published recipe in place of the run's sampler settings; --list names them");
    visit("sample", sample, "");
  }
  void validate() const;
};

/// "0-3,7" -> 0 1 2 3 7, in the order given, each once. Throws std::invalid_argument.
std::vector<uint64_t> parse_seeds(const std::string& text);

/// Where picture `seed` stands: FOLDER/000042.png; from ten thousand on in folders of a thousand,
/// FOLDER/012/012345.png.
std::filesystem::path picture_path(const std::filesystem::path& folder, uint64_t seed);

/// Draws what is missing. Returns false if a signal stopped it; the same call goes on from there.
bool run_sample(const SampleOptions& options);

void add_sample_command(CLI::App& app);

}  // namespace uvic::app
