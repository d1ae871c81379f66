// Statistics of attention during training: the right numbers, at the right images, without a trace.
#include "app/training/attention_log.h"

#include <cmath>

#include "app/commands/train.h"
#include "app/runs/run_dir.h"
#include "app/training/training_data.h"
#include "data/formats/safetensors.h"
#include "tests/app/lab/tiny_networks.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

RunConfig logged_run(const fs::path& out) {
  auto config = tiny_run("cog");
  config.out = out.string();
  config.device = "cpu", config.threads = 2;
  config.total_images = 256, config.batch_size = 16, config.log_images = 64;
  config.checkpoint_images = 128, config.grid_images = 0;
  config.optimizer.lr = 1e-3, config.optimizer.warmup_images = 32;
  config.model.uvit.num_classes = 11;
  config.dataset.image_size = config.model.uvit.img_size;
  return config;
}

RunConfig logged_sequences(const fs::path& out) {
  RunConfig config;
  config.data = "nt", config.out = out.string();
  config.device = "cpu", config.threads = 2, config.flip = false;
  config.total_images = 128, config.batch_size = 16, config.log_images = 64;
  config.checkpoint_images = 128, config.grid_images = 0;
  config.model.kind = "decoder_lm";
  auto& m = config.model.decoder_lm;
  m.vocab_size = 3, m.hidden_size = 16, m.intermediate_size = 24, m.num_hidden_layers = 3;
  m.num_attention_heads = 2, m.max_position_embeddings = 24, m.init = "scaled";
  config.tokens.symbols = 3, config.tokens.length = 20;
  return config;
}

/// The tensors of a state or of weights have the same bits.
bool equal_tensors(const fs::path& a, const fs::path& b) {
  const auto x = formats::read_safetensors(a).tensors, y = formats::read_safetensors(b).tensors;
  if (x.empty() || x.size() != y.size()) return false;
  for (const auto& [name, tensor] : x)
    if (!y.count(name) || !torch::equal(tensor, y.at(name))) return false;
  return true;
}

/// The lines of attention, without the id of the run and the time.
json attention_lines(const fs::path& folder) {
  json lines = json::array();
  for (auto line : RunDir(folder).read_stats()) {
    if (line.contains("loss")) continue;
    CHECK(line["elapsed_sec"].get<double>() > 0);
    line.erase("run_id"), line.erase("elapsed_sec");
    lines.push_back(line);
  }
  return lines;
}

json look_at_images(const RunConfig& config) {
  const auto opened = open_training_data(config, torch::kCPU);
  const AttentionLog log(config, *opened.dataset, opened.inputs, torch::kCPU);
  const auto network = tiny_network(config);
  const auto line = log.look(*network);
  CHECK(log.look(*network) == line);
  return line;
}

/// Makes all scores 0.
void forget_queries(model::Network& network) {
  const torch::NoGradGuard no_grad;
  for (auto& item : network.named_parameters())
    if (item.key().find("qkv") != std::string::npos ||
        item.key().find("q_proj") != std::string::npos)
      item.value().zero_();
}

}  // namespace

TEST_CASE("attention log: a training has the same weights and state with it and without",
          "[train][attention_log]") {
  const Scratch scratch;
  auto config = logged_run(scratch / "without");
  run_train(config, {});
  config.out = (scratch / "with").string();
  config.attention_stats_images = 48;
  run_train(config, {});
  const RunDir with(scratch / "with"), without(scratch / "without");
  CHECK(equal_tensors(with.weights(256), without.weights(256)));
  CHECK(equal_tensors(with.states().front().path, without.states().front().path));
  CHECK(attention_lines(scratch / "without").empty());

  // A line where a multiple of 48 was crossed by a step of 16.
  const auto lines = attention_lines(scratch / "with");
  REQUIRE(lines.size() == 5);
  for (size_t i = 0; i < lines.size(); ++i) {
    CHECK(lines[i]["images_seen"] == 48 * (i + 1));
    // Softmax blocks have no negative weights to speak of; the Cog block has.
    CHECK_FALSE(lines[i].contains("attention_negative_mass/0"));
    CHECK(lines[i]["attention_negative_mass/1"].get<double>() > 0.05);
    CHECK(lines[i].size() == 1 + 3 * 4 + 2);
  }
  CHECK(lines[0]["attention_entropy/1"] != lines[4]["attention_entropy/1"]);

  // Stopped half-way and gone on: the same lines and weights.
  config.out = (scratch / "twice").string();
  config.total_images = 128;
  run_train(config, {});
  config.total_images = 256;
  run_train(config, {});
  CHECK(attention_lines(scratch / "twice") == lines);
  CHECK(equal_tensors(RunDir(scratch / "twice").weights(256), with.weights(256)));
}

TEST_CASE("attention log: language models too", "[train][attention_log]") {
  const Scratch scratch;
  auto config = logged_sequences(scratch / "without");
  run_train(config, {});
  config.out = (scratch / "with").string();
  config.attention_stats_images = 64;
  run_train(config, {});
  CHECK(equal_tensors(RunDir(scratch / "with").weights(128),
                      RunDir(scratch / "without").weights(128)));
  const auto lines = attention_lines(scratch / "with");
  REQUIRE(lines.size() == 2);
  CHECK(lines[1]["attention_negative_share/1"].get<double>() > 0.05);
  // The first query sees one key alone: mass_first is at least 1 / 20.
  CHECK(lines[1]["attention_mass_first/0"].get<double>() > 0.05);
}

TEST_CASE("attention log: examples are chosen by seed, not by the training's chance",
          "[train][attention_log]") {
  auto config = logged_run("nowhere");
  const auto line = look_at_images(config);
  auto again = config;
  again.label_dropout = 0.9, again.flip = true;
  CHECK(look_at_images(again) == line);
  again.seed = 1;
  CHECK(look_at_images(again) != line);
}

TEST_CASE("attention log: equal scores give the numbers of uniform attention",
          "[train][attention_log]") {
  const auto images = logged_run("nowhere");
  const auto opened = open_training_data(images, torch::kCPU);
  const auto uvit = tiny_network(images);
  forget_queries(*uvit);
  auto line = AttentionLog(images, *opened.dataset, opened.inputs, torch::kCPU).look(*uvit);
  CHECK(line["attention_entropy/0"].get<double>() == Approx(std::log(18)).epsilon(1e-6));
  CHECK(line["attention_effective_keys/2"].get<double>() == Approx(18).epsilon(1e-6));
  CHECK(line["attention_largest_sink/0"].get<double>() == Approx(1. / 18).epsilon(1e-6));
  // sign(0) = 0: a Cog block has no weights then, and no entropy.
  CHECK(line["attention_negative_share/1"] == 0.0);
  CHECK(line["attention_entropy/1"].is_null());

  const auto sequences = logged_sequences("nowhere");
  const auto source = open_training_sequences(sequences);
  const auto network = model::make_network(sequences.model);
  forget_queries(*network);
  line = AttentionLog(sequences, *source, torch::kCPU).look(*network);
  CHECK(line.size() == 3 * 4 + 2);
  double entropy = 0, first = 0;
  for (int64_t keys = 1; keys <= 20; ++keys)
    entropy += std::log(keys) / 20, first += 1. / static_cast<double>(keys) / 20;
  CHECK(line["attention_entropy/0"].get<double>() == Approx(entropy).epsilon(1e-6));
  CHECK(line["attention_mass_first/0"].get<double>() == Approx(first).epsilon(1e-6));
  CHECK(line["attention_largest_sink/0"].get<double>() == Approx(first).epsilon(1e-6));
}

TEST_CASE("attention log: networks without attention to look at are refused",
          "[train][attention_log]") {
  auto config = logged_sequences("nowhere");
  config.attention_stats_images = 64;
  CHECK_NOTHROW(config.validate());
  for (const auto* kind : {"lstm", "cisformer"}) {
    config.model.kind = kind;
    CHECK_THROWS_WITH(config.validate(),
                      Catch::Contains("--attention_stats_images: a network of kind") &&
                          Catch::Contains("has no attention weights to look at; set it to 0"));
  }
  config.model.kind = "lstm", config.attention_stats_images = 0;
  CHECK_NOTHROW(config.validate());
}

TEST_CASE("attention log: class tokens are refused, in training and in the analysis",
          "[attention_log][class_tokens]") {
  const Scratch scratch;
  auto config = logged_run(scratch / "a");
  config.model.uvit.class_tokens = 4, config.model.uvit.class_tokens_from = 1;
  CHECK_NOTHROW(config.validate());
  config.attention_stats_images = 48;
  CHECK_THROWS_WITH(config.validate(),
                    Catch::Contains("--attention_stats_images") && Catch::Contains("class tokens"));
  CHECK_THROWS_WITH(LabExamples(config, "procedural", 1, torch::kCPU),
                    Catch::Contains("class tokens (model.class_tokens 4)"));
}
