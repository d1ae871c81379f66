// uvic score: loss, perplexity and accuracy of a language model.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>

#include "app/runs/weights_file.h"
#include "app/scoring/score_tokens.h"

namespace uvic::app {

struct ScoreOptions {
  std::string run;
  std::string weights;
  NetworkHints network;
  std::string data;
  std::string tokenizer;
  std::string split;
  int64_t length = 0;
  bool allow_longer = false;
  int64_t count = 2000;
  int64_t seed = 0;
  int64_t batch_size = 32;
  std::string out;
  std::string precision = "auto";
  std::string kernels = "fused";
  std::string device = "auto";
  int64_t threads = 0;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("run", run, Field{"Folder of the run; RUN@IMAGES for an earlier checkpoint"});
    visit("weights", weights, Field{"Weights without a run, .safetensors or .pth"});
    network.fields(visit);
    visit("data", data, Field{"Text, token arrays or a task; empty: the run's"});
    visit(
        "tokenizer",
        tokenizer,
        Field{"Tokenizer of text: tokenizer.json (BPE), SentencePiece's tokenizer.model, or their "
              "folder; empty: the run's"});
    visit(
        "split",
        split,
        Field{
            "Part of the data to score; empty: held_out for the run's own data, all for other data",
            {{"", ""}, {"train", ""}, {"held_out", ""}, {"all", ""}}});
    visit(
        "length", length, Field{"Tokens of a sequence; 0: as in training", base::from(0, 1 << 24)});
    visit("allow_longer",
          allow_longer,
          Field{"Accept sequences longer than those of training, where positions allow it"});
    visit(
        "count",
        count,
        Field{"Sequences to score; fewer if the data has fewer", base::from(1, base::kMostCount)});
    visit("seed", seed, Field{"Seed of generated sequences", base::from(0, base::kMostCount)});
    visit("batch_size",
          batch_size,
          Field{"Sequences at once", base::from(1, base::kMostAtOnce)}.advanced());
    visit("out", out, Field{"Also write the scores here, .json"});
    visit("precision", precision, base::precision_field("Precision of the network"));
    visit("kernels", kernels, base::kernels_field());
    visit("device", device, base::device_field());
    visit("threads", threads, base::threads_field());
  }
};

TokenScore run_score(const ScoreOptions& options);

void add_score_command(CLI::App& app);

}  // namespace uvic::app
