// uvic compress: from a run or weights to files that the other commands open.
#include "app/commands/compress.h"

#include <cmath>

#include "app/commands/compare.h"
#include "app/commands/predict.h"
#include "app/commands/sample_text.h"
#include "app/commands/score.h"
#include "app/commands/train.h"
#include "app/runs/run_dir.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/npy.h"
#include "data/formats/safetensors.h"
#include "model/weights.h"
#include "tests/sequences/small_run.h"
#include "tests/support/all_close.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using Catch::Matchers::Contains;
using test::relative_l2;
using test::Scratch;
using test::small_run;
namespace fs = std::filesystem;

namespace {

RunConfig trained_on_text(const Scratch& scratch) {
  std::string text;
  for (int i = 0; i < 600; ++i) text += "line " + std::to_string(i % 7) + "\n";
  formats::write_file_atomically(scratch / "text.txt", text);
  auto config = small_run(scratch / "run");
  config.data = (scratch / "text.txt").string();
  config.model.decoder_lm.vocab_size = 257;
  config.score_images = 0;
  run_train(config);
  return config;
}

CompressOptions compression(const RunConfig& run, const fs::path& out, double threshold) {
  CompressOptions options;
  options.run = run.out;
  options.out = out.string();
  options.rank_threshold = threshold;
  options.count = 20;
  options.calibration_count = 8;
  options.precision = "fp32";
  options.threads = 2;
  return options;
}

torch::Tensor logits_of(const Scratch& scratch, const std::string& weights) {
  formats::write_npy(scratch / "tokens.npy", torch::arange(40).view({2, 20}));
  PredictOptions options;
  options.weights = weights;
  options.input = (scratch / "tokens.npy").string();
  options.output = (scratch / "logits.npy").string();
  run_predict(options);
  return formats::read_npy(scratch / "logits.npy");
}

}  // namespace

TEST_CASE("compress: a run becomes a run that score, sample and predict open", "[compress]") {
  const Scratch scratch;
  const auto run = trained_on_text(scratch);
  const auto result = run_compress(compression(run, scratch / "small", 0.8));
  CHECK(result.bytes_after < result.bytes_before);
  CHECK(result.bytes_before == 4 * 3 * 2 * (8 + 8));  // fp32, 3 layers, 2 heads of 8
  CHECK(result.after.all.loss.mean != result.before.all.loss.mean);

  ScoreOptions score;
  score.run = (scratch / "small").string();
  score.precision = "fp32", score.threads = 2;
  CHECK(std::isfinite(run_score(score).all.loss.mean));
  SampleOptions sample;
  sample.run = score.run, sample.prompt = {"line"}, sample.seeds = "0", sample.threads = 1;
  sample.text.max_tokens = 5, sample.out = (scratch / "texts").string();
  CHECK(run_sample_text(sample));
  CHECK(fs::exists(scratch / "texts/000000.txt"));
  CHECK(logits_of(scratch, score.run).size(2) == 257);

  const auto record = formats::read_json(scratch / "small/run.json")["compressed"];
  CHECK(record["rank_threshold"] == 0.8);
  CHECK(record["cache_bytes_per_token"] == result.bytes_after);
  CHECK(record["score"]["loss"].get<double>() == result.after.all.loss.mean);
}

TEST_CASE("compress: the run that it writes is compared with its source as trained alike",
          "[compress]") {
  const Scratch scratch;
  const auto run = trained_on_text(scratch);
  run_compress(compression(run, (scratch / "small").string() + "/", 0.8));
  const auto record = formats::read_json(scratch / "small/run.json");
  const auto source = formats::read_json(fs::path(run.out) / "run.json");
  CHECK(record["name"] == "small");
  CHECK(record["images_seen"] == 640);
  for (const char* key : {"data", "precision", "total_images"})
    CHECK(record.at(key) == source.at(key));
  // Of 16 channels a projection gives rank numbers for each of 2 heads of 8, and a basis takes them
  // to 8. A sequence has up to 24 tokens.
  double saved = 0;
  for (const char* key : {"key_ranks", "value_ranks"})
    for (const int64_t rank : record["compressed"][key])
      if (rank < 8) saved += 2 * 24 * 2 * ((8 - rank) * 16 - rank * 8);
  const double before = source["forward_gflop_per_image"];
  REQUIRE(saved != 0);
  CHECK(record["forward_gflop_per_image"].get<double>() ==
        Approx(before - saved / 1e9).epsilon(1e-9));

  CompareOptions options;
  options.run = {run.out, (scratch / "small").string()};
  const auto plan = plan_comparison(options, scratch / "compared", [](RunConfig&) {});
  REQUIRE(run_comparison(options, scratch / "compared", plan));
  const auto data = formats::read_json(scratch / "compared/report.json");
  REQUIRE(data["entries"].size() == 2);
  CHECK(data["entries"][1]["cost"]["images_seen"] == 640);
  CHECK(data["entries"][1]["run"]["forward_gflop_per_image"] == record["forward_gflop_per_image"]);
  for (const auto& check : data["held_equal"]) {
    CAPTURE(check.dump());
    CHECK((check["equal"] == true || check["name"] == "parameters (within 2 %)"));
  }
}

TEST_CASE("compress: a threshold of 1 gives the same logits, from weights without a config too",
          "[compress]") {
  const Scratch scratch;
  const auto run = trained_on_text(scratch);
  const auto whole = run_compress(compression(run, scratch / "whole.safetensors", 1));
  CHECK(whole.bytes_after == whole.bytes_before);
  const auto expected = logits_of(scratch, run.out);
  CHECK(relative_l2(logits_of(scratch, (scratch / "whole.safetensors").string()), expected) < 1e-5);

  // The shape is in the tensors: without metadata and config the file opens too.
  run_compress(compression(run, scratch / "low.safetensors", 0.8));
  const auto with_config = logits_of(scratch, (scratch / "low.safetensors").string());
  auto bare = formats::read_safetensors(scratch / "low.safetensors");
  bare.metadata.clear();
  formats::write_safetensors(scratch / "bare.safetensors", bare);
  formats::write_npy(scratch / "tokens.npy", torch::arange(40).view({2, 20}));
  PredictOptions options;
  options.weights = (scratch / "bare.safetensors").string();
  options.input = (scratch / "tokens.npy").string();
  options.output = (scratch / "logits.npy").string();
  options.network.shapes.num_heads = 2, options.network.shapes.attention = "cog";
  run_predict(options);
  CHECK(relative_l2(formats::read_npy(scratch / "logits.npy"), with_config) < 1e-6);
  options.cache_step = 3;
  run_predict(options);
  CHECK(relative_l2(formats::read_npy(scratch / "logits.npy"), with_config) < 1e-5);
}

TEST_CASE("compress: weights of a Llama-like network without a config, with data", "[compress]") {
  const Scratch scratch;
  const auto run = trained_on_text(scratch);
  auto bare = formats::read_safetensors(RunDir(run.out).latest_weights());
  bare.metadata.clear();
  formats::write_safetensors(scratch / "llama.safetensors", bare);
  auto options = compression(run, scratch / "small.safetensors", 0.8);
  options.run.clear();
  options.weights = (scratch / "llama.safetensors").string();
  options.network.shapes.num_heads = 2;
  CHECK_THROWS_WITH(run_compress(options), Contains("--data is missing"));
  formats::write_npy(scratch / "tokens.npy", torch::arange(6000).remainder(257));
  options.data = (scratch / "tokens.npy").string();
  const auto result = run_compress(options);
  CHECK(result.bytes_after < result.bytes_before);
  CHECK(result.calibration_sequences == 1);  // 2 sequences of the 2048 positions that are assumed
  CHECK(logits_of(scratch, options.out).size(2) == 257);
}

TEST_CASE("compress: calibration and loss read different sequences", "[compress]") {
  const Scratch scratch;
  const auto run = trained_on_text(scratch);
  auto options = compression(run, scratch / "a", 0.8);
  options.calibration_count = 1000;
  const auto all = run_compress(options);  // 5 % of 4200 bytes: 10 sequences of 20
  CHECK(all.calibration_sequences == 5);
  CHECK(all.before.sequences == 5);
  // All sequences are of one length, so the loss of the last 5 follows from that of 10 and of 5.
  ScoreOptions score;
  score.run = run.out;
  score.precision = "fp32", score.threads = 2;
  score.count = 10;
  const double of_all = run_score(score).all.loss.mean;
  score.count = 5;
  const double of_calibration = run_score(score).all.loss.mean;
  CHECK(all.before.all.loss.mean == Approx(2 * of_all - of_calibration).epsilon(1e-5));
  CHECK(std::abs(of_all - of_calibration) > 1e-4);  // else the check above says nothing
  options.out = (scratch / "b").string();
  options.data = run.data, options.calibration_count = 8, options.count = 20;
  const auto other = run_compress(options);
  CHECK(other.calibration_sequences == 8);
  CHECK(other.before.sequences == 20);
}

TEST_CASE("compress: what can't be compressed is refused in one line", "[compress]") {
  const Scratch scratch;
  auto config = small_run(scratch / "lstm");
  config.model.kind = "lstm";
  config.model.small.vocab_size = 3, config.model.small.length = 24;
  config.model.small.hidden_size = 16;
  config.score_images = 0;
  run_train(config);
  CHECK_THROWS_WITH(run_compress(compression(config, scratch / "out", 0.9)),
                    Contains("model.kind is lstm, which keeps no keys and values"));
  auto run = small_run(scratch / "nt");
  run.score_images = 0;
  run_train(run);
  CHECK_THROWS_WITH(run_compress(compression(run, scratch / "nt", 0.9)),
                    Contains("already holds a run"));
  CHECK_THROWS_WITH(run_compress(compression(run, scratch / "out.bin", 0.9)),
                    Contains("want a name ending in .safetensors"));
  CHECK_THROWS_WITH(run_compress(compression(run, scratch / "out", 1.5)),
                    Contains("rank_threshold"));
  CHECK_THROWS_WITH(run_compress(compression(run, scratch / "out", 0)), Contains("rank_threshold"));
  auto both = compression(run, scratch / "out", 0.9);
  both.weights = "x";
  CHECK_THROWS_WITH(run_compress(both), Contains("give --run FOLDER or --weights FILE"));
  CHECK_FALSE(fs::exists(scratch / "out"));
  formats::write_file_atomically(scratch / "file", "text");
  CHECK_THROWS_WITH(run_compress(compression(run, scratch / "file", 0.9)),
                    Contains("a file; without an ending it is the name of a run folder"));
  fs::create_directories(scratch / "folder");
  formats::write_file_atomically(scratch / "folder/notes.txt", "text");
  CHECK_THROWS_WITH(run_compress(compression(run, scratch / "folder", 0.9)),
                    Contains("holds other files (notes.txt)"));
  // What is read is not overwritten: the weights that a run's folder means, and its config.
  const fs::path weights = RunDir(run.out).latest_weights();
  auto over = compression(run, weights, 0.9);
  over.overwrite = true;
  CHECK_THROWS_WITH(run_compress(over), Contains("part of the run"));
  over = compression(run, fs::path(run.out) / "config.safetensors", 0.9);
  over.overwrite = true;
  CHECK_THROWS_WITH(run_compress(over), Contains("is read and would be overwritten"));
  // The config next to --out may be one that is given.
  const auto config_path = scratch / "lm.toml";
  formats::write_file_atomically(config_path, formats::read_file(RunDir(run.out).config()));
  auto beside = compression(run, scratch / "lm.safetensors", 0.9);
  beside.network.config = config_path.string(), beside.overwrite = true;
  CHECK_THROWS_WITH(run_compress(beside), Contains("is read and would be overwritten"));
  // Twice is refused: the ranks of the first time would be lost.
  run_compress(compression(run, scratch / "once", 0.9));
  auto twice = run;
  twice.out = (scratch / "once").string();
  CHECK_THROWS_WITH(run_compress(compression(twice, scratch / "twice", 0.9)),
                    Contains("low rank already"));
  formats::TensorFile broken = formats::read_safetensors(weights);
  broken.tensors["model.norm.weight"] = torch::full({16}, NAN);
  formats::write_safetensors(weights, broken);
  CHECK_THROWS_WITH(run_compress(compression(run, scratch / "broken", 0.9)),
                    Contains("the loss of this network is not finite"));
  CHECK_FALSE(fs::exists(scratch / "broken"));
}
