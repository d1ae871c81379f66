// uvic convert: weights from one format to another, with the config that opens them written next to
// them.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "app/runs/weights_file.h"

namespace uvic::app {

struct ConvertOptions {
  std::string in;   // positional
  std::string out;  // positional
  NetworkHints network;
  std::string prefix;
  std::string dtype = "keep";
  bool overwrite = false;

  template <class Visitor>
  void fields(Visitor&& visit) {
    network.fields(visit);
    using base::Field;
    visit("prefix",
          prefix,
          Field{"Which network of a file that holds several, such as model or ema; empty: the "
                "average"});
    visit("dtype",
          dtype,
          Field{"Dtype of the written weights",
                {{"keep", "as they are"}, {"fp32", ""}, {"fp16", ""}, {"bf16", ""}}});
    visit("overwrite", overwrite, Field{"Replace OUT and the files next to it if they exist"});
  }
  void validate() const;
};

struct ConvertResult {
  std::vector<std::filesystem::path> written;
  int64_t tensors = 0, parameters = 0;
  std::filesystem::path replaced;  ///< where the run that was in OUT is now; or empty
  bool resumes = false;            ///< OUT became a run folder that training continues from
  bool is_network = false;         ///< false: of no network that we know, and so no config
  KnownNetwork network;            ///< where is_network
};

/// OUT.safetensors or OUT.pth: the weights, and OUT.toml next to them. Any other OUT is a run
/// folder: config.toml, run.json and weights/, and, of a checkpoint folder of the official code
/// with network, average and optimizer, the state that `uvic train` continues from; it is a run of
/// its own, and a run that it replaces moves to OUT/abandoned whole.
///
/// Metadata travels along, without paths (public_metadata.h): inside a safetensors file; next to a
/// .pth, which has no room for it, as OUT.json, from where it returns.
ConvertResult run_convert(const ConvertOptions& options);

void add_convert_command(CLI::App& app);

}  // namespace uvic::app
