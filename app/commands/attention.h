// uvic attention: what the attention of trained networks does, as numbers and as a page.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/field.h"

namespace uvic::app {

struct AttentionOptions {
  std::vector<std::string> run;
  std::vector<std::string> weights;
  std::string config;
  std::vector<std::string> name;
  std::string checkpoints = "latest";
  std::string data;
  std::string out;
  int64_t images = 64;
  std::string timesteps;
  std::string positions;
  int64_t length = 0;
  std::string blocks = "all";
  std::string heads = "all";
  std::string ablate = "none";
  int64_t ablation_images = 16;
  int64_t gradient_images = 16;
  int64_t maps = 2;
  int64_t seed = 0;
  int64_t batch_size = 16;
  std::string precision = "fp32";
  std::string kernels = "fused";
  std::string device = "auto";
  int64_t threads = 0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("run", run, Field{"A run folder; several are shown next to each other"});
    visit("weights",
          weights,
          Field{"A weight file, or a folder of the official code, as uvic sample --weights takes; "
                "several are shown next to each other, after the runs"});
    visit("config", config, Field{"Training config of --weights whose file holds none"});
    visit("name", name, Field{"Names of runs and weights, in their order; default: their files"});
    visit("checkpoints",
          checkpoints,
          Field{"Checkpoints of each run: latest, all, best, every=IMAGES, or 64k,128k"});
    visit("data",
          data,
          Field{"Images (or latents, or captioned images) that the networks see, as uvic train "
                "--data takes, preferably not their training images. For language models text, "
                "tokens or a task; empty: the held-out part of their own data"});
    visit("out", out, Field{"Folder for page, JSON and tables"});
    visit("images", images, Field{"Images, or sequences, that are analysed", base::from(2, 1e9)});
    visit("timesteps",
          timesteps,
          Field{"Times of the noise: fractions of the schedule, 0 the data, 1 noise; empty: "
                "0.1,0.3,0.5,0.7,0.9"});
    visit("positions",
          positions,
          Field{"Language models: positions of the queries, quarters, all, or ranges such as "
                "0-15,16-63; empty: quarters"});
    visit(
        "length",
        length,
        Field{"Language models: tokens of a sequence; 0: as in training", base::from(0, 1 << 24)});
    visit("blocks", blocks, Field{"Blocks that are shown: all, or a list such as 0-3,7"});
    visit("heads", heads, Field{"Heads that are shown: all, or a list such as 0-3,7"});
    visit("ablate",
          ablate,
          Field{"Changes of heads whose cost in loss is measured: none, all, or a list of zero "
                "(no head), absolute (|weights|), softmax (instead of signed weights)"});
    visit("ablation_images",
          ablation_images,
          Field{"Images or sequences that each ablation is measured on", base::from(2, 1e9)});
    visit(
        "gradient_images",
        gradient_images,
        Field{"Images or sequences that norms of gradients are measured on, one at a time; 0: none",
              base::from(0, 1e9)});
    visit("maps",
          maps,
          Field{"Images or sequences whose attention the page shows", base::from(0, 64)});
    visit("seed",
          seed,
          Field{"Seed of the choice of examples and of noise", base::from(0, base::kMostCount)});
    visit("batch_size",
          batch_size,
          Field{"Examples evaluated at once; changes memory, and numbers only by rounding",
                base::from(1, base::kMostAtOnce)}
              .advanced());
    visit("precision", precision, base::precision_field("Precision of products and attention"));
    visit("kernels", kernels, base::kernels_field());
    visit("device", device, base::device_field());
    visit("threads", threads, base::threads_field());
  }
  /// Throws std::invalid_argument.
  void validate() const;
};

/// Writes to options.out
///
///   attention.html                page: heat maps, curves, maps over images, differences
///   attention.json                all numbers (lab_json() in app/lab/lab_output.h)
///   heads.csv, blocks.csv         the same as tables, with standard errors
///   ablation.csv                  where asked for
///   figures/NAME.svg              each statistic through the depth of the networks
///
/// and returns what attention.json holds. Throws std::invalid_argument for networks without weights
/// to look at and for what does not fit together, before any work.
nlohmann::json run_attention(const AttentionOptions& options);

void add_attention_command(CLI::App& app);

}  // namespace uvic::app
