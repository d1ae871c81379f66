// A language model on text by a tokenizer's file: the commands keep the two together.
#include <cmath>
#include <filesystem>

#include "app/commands/predict.h"
#include "app/commands/sample_text.h"
#include "app/commands/score.h"
#include "app/commands/train.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/tokens/open_tokenizer.h"
#include "data/unicode_text.h"
#include "tests/sequences/small_run.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

const fs::path kTokenizers = UVIC_GOLDEN_DIR "/data/tokenizers";

/// A run on a text by a copy of llama2.json, and the commands on it.
struct TextRun {
  test::Scratch scratch;
  RunConfig config;
  ScoreOptions score;
  SampleOptions sample;

  TextRun() {
    fs::copy_file(kTokenizers / "llama2.json", scratch / "tokenizer.json");
    std::string text;
    for (int i = 0; i < 400; ++i) text += "the License, line " + std::to_string(i % 7) + "\n";
    formats::write_file_atomically(scratch / "text.txt", text);
    config = test::small_run(scratch / "run");
    config.data = (scratch / "text.txt").string();
    config.encoders.tokenizer = (scratch / "tokenizer.json").string();
    config.model.decoder_lm.vocab_size = 702;  // padded
    config.total_images = 64, config.checkpoint_images = 64;
    config.grid_images = 64, config.grid_count = 2;
    config.score_images = 64, config.score_count = 4;
    score.run = sample.run = config.out;
    score.count = 10;
    sample.prompt = {"the License, line"};
    sample.text.max_tokens = 8;
    sample.out = (scratch / "out").string();
  }
};

}  // namespace

TEST_CASE("sequences: a run on text keeps its tokenizer, and scores and samples by it",
          "[sequences]") {
  TextRun run;
  run_train(run.config);
  const RunDir folder(run.config.out);
  CHECK(read_run_config(folder).encoders.tokenizer == run.config.encoders.tokenizer);
  CHECK_THAT(formats::read_file(folder.path() / "grids/000000064.txt"), Contains("License"));
  CHECK_THAT(formats::read_json(folder.provenance())["data"]["describe"].get<std::string>(),
             Contains(data::open_tokenizer(run.config.encoders.tokenizer)->fingerprint()));
  CHECK(std::isfinite(run_score(run.score).all.loss.mean));
  CHECK(run_sample_text(run.sample));
  const auto text = formats::read_file(run.scratch / "out/000000.txt");
  CHECK_FALSE(data::find_bad_utf8(text).has_value());

  // The logits of a text are those of its tokens.
  PredictOptions options;
  options.weights = run.config.out;
  options.tokenizer = run.config.encoders.tokenizer;
  formats::write_file_atomically(run.scratch / "prompt.txt", "the License");
  options.input = (run.scratch / "prompt.txt").string();
  options.tokens_output = (run.scratch / "tokens.npy").string();
  options.output = (run.scratch / "logits.npy").string();
  const auto logits = run_predict(options).output;
  const auto tokens = formats::read_npy(options.tokens_output);
  CHECK(tokens[0][0].item<int64_t>() == 1);  // BOS
  CHECK(logits.sizes() == torch::IntArrayRef({1, tokens.size(1), 702}));
  options.input = options.tokens_output;
  options.tokens_output.clear(), options.tokenizer.clear();
  CHECK(torch::equal(run_predict(options).output, logits));
}

TEST_CASE("sequences: a tokenizer that has changed since the training is refused", "[sequences]") {
  TextRun run;
  run_train(run.config);
  const double loss = run_score(run.score).all.loss.mean;
  auto changed = formats::read_json(kTokenizers / "llama2.json");
  changed["normalizer"] = nullptr;
  formats::write_json(run.scratch / "tokenizer.json", changed);
  CHECK_THROWS_WITH(run_score(run.score), Contains("tokenizer.json: not the tokenizer that"));
  CHECK_THROWS_WITH(run_sample_text(run.sample),
                    Contains("tokenizer.json: not the tokenizer that"));
  PredictOptions predict;
  predict.weights = run.config.out;
  predict.tokenizer = run.config.encoders.tokenizer;
  formats::write_file_atomically(run.scratch / "prompt.txt", "the License");
  predict.input = (run.scratch / "prompt.txt").string();
  predict.output = (run.scratch / "logits.npy").string();
  CHECK_THROWS_WITH(run_predict(predict), Contains("tokenizer.json: not the tokenizer that"));
  run.config.total_images = 128;
  CHECK_THROWS_WITH(run_train(run.config), Contains("was trained with another tokenizer than"));
  // The right file, at another place.
  run.sample.encoders.tokenizer = run.score.tokenizer = predict.tokenizer =
      (kTokenizers / "llama2.json").string();
  CHECK(run_score(run.score).all.loss.mean == loss);
  CHECK(run_sample_text(run.sample));
  CHECK(run_predict(predict).output.size(2) == 702);
}

TEST_CASE("sequences: a tokenizer that does not suit the network or the data is refused",
          "[sequences]") {
  TextRun run;
  run.config.model.decoder_lm.vocab_size = 257;
  CHECK_THROWS_WITH(run_train(run.config),
                    Contains("tokenizer.json: a tokenizer of 700 tokens, the network has 257") &&
                        Contains("--model.decoder_lm.vocab_size 700"));
  run.config.model.decoder_lm.vocab_size = 2000;
  CHECK_THROWS_WITH(run_train(run.config),
                    Contains("a tokenizer of 700 tokens, the network has 2000"));
  run.config.data = "nt";
  CHECK_THROWS_WITH(run_train(run.config),
                    Contains("--tokenizer: leave it out; nt is a generated"));
}
