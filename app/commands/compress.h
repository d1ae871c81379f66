// uvic compress: a language model whose cache of keys and values is smaller.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/runs/weights_file.h"
#include "app/scoring/score_tokens.h"
#include "model/decoder_lm/decoder_lm_config.h"

namespace uvic::app {

struct CompressOptions {
  std::string run;
  std::string weights;
  NetworkHints network;
  std::string out;
  bool overwrite = false;
  double rank_threshold = 0.99;
  std::string data;
  std::string tokenizer;
  int64_t calibration_count = 64;
  int64_t count = 500;
  int64_t seed = 0;
  int64_t batch_size = 16;
  std::string precision = "auto";
  std::string kernels = "fused";
  std::string device = "auto";
  int64_t threads = 0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("run", run, Field{"Folder of the run; RUN@IMAGES for an earlier checkpoint"});
    visit("weights",
          weights,
          Field{"Weights without a run, .safetensors or .pth, also of a Llama checkpoint"});
    network.fields(visit);
    visit("out",
          out,
          Field{"NAME.safetensors, with NAME.toml next to it; without an ending a run folder"});
    visit("overwrite",
          overwrite,
          Field{"Replace files of --out if they exist; a run folder is never replaced"});
    visit("rank_threshold",
          rank_threshold,
          Field{"Share of the squared length of keys and queries, and of values, that each head "
                "keeps on the calibration data; 1: all",
                base::above(0, 1)});
    visit("data",
          data,
          Field{"Calibration data: text, token arrays or a task, used whole; empty: the held-out "
                "part of the run's"});
    visit(
        "tokenizer",
        tokenizer,
        Field{"Tokenizer of text: tokenizer.json (BPE), SentencePiece's tokenizer.model, or their "
              "folder; empty: the run's"});
    visit("calibration_count",
          calibration_count,
          Field{"Sequences of the calibration; at most half of those that there are",
                base::from(1, base::kMostCount)});
    visit("count",
          count,
          Field{"Sequences after those, of which the loss is reported",
                base::from(1, base::kMostCount)});
    visit("seed", seed, Field{"Seed of the order of sequences", base::from(0, base::kMostCount)});
    visit("batch_size",
          batch_size,
          Field{"Sequences at once", base::from(1, base::kMostAtOnce)}.advanced());
    visit("precision", precision, base::precision_field("Precision of the network"));
    visit("kernels", kernels, base::kernels_field());
    visit("device", device, base::device_field());
    visit("threads", threads, base::threads_field());
  }

  /// Throws std::invalid_argument.
  void validate() const;
};

struct CompressResult {
  std::vector<std::filesystem::path> written;
  std::vector<model::CacheRanks> ranks;  ///< of each layer
  int64_t head_width = 0;
  int64_t calibration_sequences = 0;
  double bytes_before = 0, bytes_after = 0;  ///< of the cache, a token, at the precision
  int64_t parameters_before = 0, parameters_after = 0;
  TokenScore before, after;

  nlohmann::json json() const;
};

/// Measures the heads on the first sequences of the data, projects keys and values onto the leading
/// eigenvectors (model/decoder_lm/low_rank.h), scores both networks on the sequences after those,
/// and writes the smaller one. Throws std::invalid_argument where the network has no cache of keys
/// and values, and base::StopRequested.
CompressResult run_compress(const CompressOptions& options);

void add_compress_command(CLI::App& app);

}  // namespace uvic::app
