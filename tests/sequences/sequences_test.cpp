// Language models from data to score, as the commands do it.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "app/commands/predict.h"
#include "app/commands/sample_text.h"
#include "app/commands/score.h"
#include "app/commands/train.h"
#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/sampling/generate_text.h"
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

model::NamedTensors latest_weights(const fs::path& run) {
  return formats::read_safetensors(RunDir(run).latest_weights()).tensors;
}

/// A Llama-like network with random weights, as Hugging Face saves it: one file and config.json.
model::NetworkConfig save_llama(const fs::path& folder) {
  fs::create_directories(folder);
  model::NetworkConfig config;
  config.kind = "decoder_lm";
  auto& c = config.decoder_lm;
  c.vocab_size = 20, c.hidden_size = 32, c.intermediate_size = 40, c.num_hidden_layers = 3;
  c.num_attention_heads = 4, c.num_key_value_heads = 2, c.max_position_embeddings = 64;
  c.rms_norm_eps = 1e-5, c.rope_theta = 500, c.attention = "softmax", c.placement = "none";
  torch::manual_seed(5);
  const auto network = model::make_network(config);
  formats::TensorFile file;
  for (const auto& [name, tensor] : model::named_weights(*network))
    file.tensors[name] = tensor.mul(4).clone();
  file.metadata["format"] = "pt";
  file.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch::ones(4);
  formats::write_safetensors(folder / "model.safetensors", file);
  formats::write_json(folder / "config.json",
                      {{"model_type", "llama"},
                       {"num_attention_heads", 4},
                       {"num_key_value_heads", 2},
                       {"max_position_embeddings", 64},
                       {"rms_norm_eps", 1e-5},
                       {"rope_theta", 500.0},
                       {"rope_scaling", nullptr}});
  return config;
}

PredictOptions prediction(const fs::path& folder, const fs::path& weights) {
  formats::write_npy(folder / "tokens.npy", torch::arange(30).view({2, 15}).remainder(20));
  PredictOptions options;
  options.weights = weights.string();
  options.input = (folder / "tokens.npy").string();
  options.output = (folder / "logits.npy").string();
  return options;
}

}  // namespace

TEST_CASE("sequences: a run that is stopped and continued has the same bits", "[sequences]") {
  const Scratch scratch;
  const auto whole = small_run(scratch / "whole");
  CHECK(run_train(whole).finished);
  auto part = small_run(scratch / "parts");
  part.total_images = 320;
  run_train(part);
  part.total_images = 640;
  run_train(part);
  const auto a = latest_weights(whole.out), b = latest_weights(part.out);
  REQUIRE(a.size() == b.size());
  for (const auto& [name, tensor] : a) {
    INFO(name);
    CHECK(torch::equal(tensor, b.at(name)));
  }
  int64_t scored = 0;
  for (const auto& line : RunDir(part.out).read_stats()) scored += line.contains("held_out_loss");
  CHECK(scored == 2);
  CHECK_FALSE(run_train(part).images_seen > 640);
}

TEST_CASE("sequences: shards and accumulation change the order of sums alone", "[sequences]") {
  const Scratch scratch;
  std::vector<model::NamedTensors> weights;
  for (const int64_t parts : {1, 2}) {
    auto config = small_run(scratch / std::to_string(parts));
    config.total_images = 64, config.checkpoint_images = 64, config.score_images = 0;
    config.accumulate = parts, config.shards = parts, config.precision = "fp32";
    run_train(config);
    weights.push_back(latest_weights(config.out));
  }
  for (const auto& [name, tensor] : weights[0])
    CHECK((tensor - weights[1].at(name)).abs().max().item<double>() < 1e-4);
}

TEST_CASE("sequences: a score is the mean over held-out sequences, with its parts", "[sequences]") {
  const Scratch scratch;
  auto config = small_run(scratch / "run");
  config.data = "multi_nt";
  config.model.decoder_lm.vocab_size = 5;
  run_train(config);
  ScoreOptions options;
  options.run = config.out;
  options.count = 50;
  options.out = (scratch / "score.json").string();
  const auto score = run_score(options);
  CHECK(score.sequences == 50);
  CHECK(score.perplexity() == Approx(std::exp(score.all.loss.mean)));
  CHECK((score.all.accuracy.mean > 0 && score.all.accuracy.mean <= 1));
  CHECK(score.all.accuracy.error > 0);
  REQUIRE(score.parts.size() == 2);
  const auto &a = score.parts[0], &b = score.parts[1];
  CHECK(a.tokens + b.tokens == score.all.tokens);
  CHECK((a.loss.mean * a.tokens + b.loss.mean * b.tokens) / score.all.tokens ==
        Approx(score.all.loss.mean).epsilon(1e-6));
  CHECK(formats::read_json(options.out)["loss"].get<double>() == score.all.loss.mean);
  options.batch_size = 7;
  CHECK(run_score(options).all.loss.mean == Approx(score.all.loss.mean).epsilon(1e-6));

  options.data = "iarc";
  CHECK_THROWS_WITH(run_score(options),
                    Contains("iarc: 7 tokens in its vocabulary") && Contains("the network has 5"));
  options.data = "multi_nt";
  options.length = 40;
  CHECK_THROWS_WITH(
      run_score(options),
      Contains("sequences of 40 tokens") && Contains("up to 24") && Contains("--allow_longer"));
  options.allow_longer = true;
  CHECK(run_score(options).all.tokens > score.all.tokens);
}

TEST_CASE("sequences: a score without a sequence is that of the others", "[sequences]") {
  const Scratch scratch;
  std::string text;
  for (int i = 0; i < 600; ++i) text += "line " + std::to_string(i % 7) + "\n";
  formats::write_file_atomically(scratch / "text.txt", text);
  auto config = small_run(scratch / "run");
  config.data = (scratch / "text.txt").string();
  config.model.decoder_lm.vocab_size = 257;
  config.score_images = 0;
  run_train(config);
  const auto network = model::as_sequence_network(model::make_network(config.model));
  model::load_weights(*network, latest_weights(config.out), "the network");
  network->eval();
  const auto source =
      data::open_token_source(config.data, config.tokens, {data::TokenSplit::kAll, 24, 257});
  // Every token counts, so sequences have equal weights, and each is a part of its own.
  constexpr int64_t kCount = 6;
  const auto score = score_tokens(*network, *source, 0, kCount, 4);
  REQUIRE(score.loss_without.size() == 6);
  REQUIRE(score.accuracy_without.size() == 6);
  double sum = 0;
  for (int64_t k = 0; k < kCount; ++k) {
    const auto one = score_tokens(*network, *source, 0, 1, 1, nullptr, k).all;
    const auto at = static_cast<size_t>(k);
    CHECK(score.loss_without[at] ==
          Approx((kCount * score.all.loss.mean - one.loss.mean) / (kCount - 1)).epsilon(1e-5));
    CHECK(score.accuracy_without[at] ==
          Approx((kCount * score.all.accuracy.mean - one.accuracy.mean) / (kCount - 1)));
    sum += score.loss_without[at];
  }
  CHECK(sum / kCount == Approx(score.all.loss.mean).epsilon(1e-9));
  const auto [least, most] =
      std::minmax_element(score.loss_without.begin(), score.loss_without.end());
  CHECK(*most - *least > 1e-4);  // else any order of the parts would do
}

TEST_CASE("sequences: data of another vocabulary, and sequences that are too long, are refused",
          "[sequences]") {
  const Scratch scratch;
  auto config = small_run(scratch / "run");
  config.model.decoder_lm.vocab_size = 4;
  CHECK_THROWS_WITH(run_train(config),
                    Contains("nt: 3 tokens in its vocabulary, the network has 4"));
  config = small_run(scratch / "run");
  config.tokens.length = 25;
  CHECK_THROWS_WITH(run_train(config), Contains("tokens.length 25: longer than the 24 positions"));
}

TEST_CASE("sequences: a text is a function of its seed, whatever it is made with", "[sequences]") {
  const Scratch scratch;
  formats::write_file_atomically(scratch / "text.txt", [] {
    std::string text;
    for (int i = 0; i < 400; ++i) text += "line " + std::to_string(i % 7) + "\n";
    return text;
  }());
  auto config = small_run(scratch / "run");
  config.data = (scratch / "text.txt").string();
  config.model.decoder_lm.vocab_size = 257;
  config.grid_images = 640, config.grid_count = 2;
  run_train(config);
  CHECK(fs::exists(scratch / "run/grids/000000640.txt"));
  const auto texts = [&](const std::string& seeds, int64_t threads) {
    SampleOptions options;
    options.run = config.out;
    options.prompt = {"line"};
    options.seeds = seeds;
    options.threads = threads;
    options.text.max_tokens = 30;
    options.out = (scratch / ("out" + seeds + std::to_string(threads))).string();
    const bool finished = run_sample_text(options);  // what it throws is checked outside
    CHECK(finished);
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::directory_iterator(options.out))
      found[entry.path().filename().string()] = formats::read_file(entry.path());
    return found;
  };
  const auto all = texts("0-4", 2);
  CHECK(texts("0-4", 2) == all);  // the same texts are there already
  formats::write_file_atomically(scratch / "out0-42/000001.txt", "mine");
  CHECK_THROWS_WITH(texts("0-4", 2), Contains("000001.txt: holds another text"));
  CHECK(all.size() == 5);
  CHECK(texts("0-4", 1) == all);
  const auto one = texts("3", 2);
  CHECK(one.at("000003.txt") == all.at("000003.txt"));
  CHECK(all.at("000001.txt") != all.at("000002.txt"));
}

TEST_CASE("sequences: the next token by temperature, top k and top p", "[sequences]") {
  const auto logits = torch::tensor({1., 3., 2., 0.}, torch::kFloat64).log();  // 1/6, 3/6, 2/6, 0
  const auto token = [&](double uniform, double temperature, int64_t k, double p) {
    TextSettings settings;
    settings.temperature = temperature, settings.top_k = k, settings.top_p = p;
    return choose_token(logits, settings, uniform);
  };
  CHECK(token(0.99, 0, 0, 1) == 1);
  CHECK(token(0.49, 1, 0, 1) == 1);
  CHECK(token(0.51, 1, 0, 1) == 2);
  CHECK(token(0.84, 1, 0, 1) == 0);
  CHECK(token(0.99999, 1, 0, 1) == 0);
  CHECK(token(0.59, 1, 2, 1) == 1);  // 3/5 of two tokens
  CHECK(token(0.61, 1, 2, 1) == 2);
  CHECK(token(0.99, 1, 0, 0.5) == 1);
  CHECK(token(0.61, 1, 0, 0.51) == 2);
  CHECK(token(0.64, 0.5, 0, 1) == 1);  // 9/14
  CHECK(token(0.65, 0.5, 0, 1) == 2);
  CHECK(choose_token(logits, {256, 1, 1000000, 1}, 0.49) == 1);  // more than there are
  for (const auto& [first, second] : {std::pair<double, double>(NAN, 1), {1, NAN}, {INFINITY, 1}})
    for (const double temperature : {0., 1.})
      CHECK_THROWS_WITH(choose_token(torch::tensor({first, second}), {256, temperature}, 0.5),
                        Contains("logits of the network are not finite"));
}

TEST_CASE("sequences: options of images are refused for texts", "[sequences]") {
  refuse_image_options({"run", "prompt", "temperature", "top_k", "overwrite"});
  for (const auto* name : {"guidance_scale", "sample.steps", "strength", "grid"})
    CHECK_THROWS_WITH(refuse_image_options({"run", name}),
                      Contains("--" + std::string(name) + ": for networks of images"));
}

TEST_CASE("sequences: a Llama checkpoint with its config.json gives its logits", "[sequences]") {
  const Scratch scratch;
  const auto config = save_llama(scratch / "llama");
  auto options = prediction(scratch.path(), scratch / "llama");
  const auto logits = run_predict(options).output;
  CHECK(logits.sizes() == torch::IntArrayRef({2, 15, 20}));

  const auto network = model::make_network(config);
  auto weights = formats::read_safetensors(scratch / "llama/model.safetensors").tensors;
  weights.erase("model.layers.0.self_attn.rotary_emb.inv_freq");
  model::load_weights(*network, weights, "test");
  const torch::NoGradGuard no_grad;
  const auto x = formats::read_npy(options.input).to(torch::kInt64);
  CHECK(relative_l2(logits, network->forward(x, {}, {})) < 1e-6);

  SECTION("with a cache") {
    options.cache_step = 4;
    CHECK(relative_l2(run_predict(options).output, logits) < 1e-6);
  }
  SECTION("Cog on the same weights is another network") {
    options.network.shapes.attention = "cog";
    CHECK(relative_l2(run_predict(options).output, logits) > 1e-3);
  }
  SECTION("in shards") {
    formats::TensorFile parts[2];
    nlohmann::json map;
    int i = 0;
    for (const auto& [name, tensor] : weights) {
      parts[i % 2].tensors[name] = tensor;
      map[name] = "model-0000" + std::to_string(i % 2 + 1) + "-of-00002.safetensors";
      ++i;
    }
    fs::remove(scratch / "llama/model.safetensors");
    for (int p = 0; p < 2; ++p)
      formats::write_safetensors(
          scratch / ("llama/model-0000" + std::to_string(p + 1) + "-of-00002.safetensors"),
          parts[p]);
    formats::write_json(scratch / "llama/model.safetensors.index.json", {{"weight_map", map}});
    CHECK(torch::equal(run_predict(options).output, logits));
  }
  SECTION("without config.json the number of heads is asked for") {
    fs::remove(scratch / "llama/config.json");
    CHECK_THROWS_WITH(run_predict(options), Contains("--num_heads"));
    options.network.shapes.num_heads = 4;
    CHECK(run_predict(options).output.isfinite().all().item<bool>());
  }
  SECTION("another architecture is refused") {
    formats::write_json(scratch / "llama/config.json", {{"model_type", "gemma"}});
    CHECK_THROWS_WITH(run_predict(options), Contains("model_type gemma"));
  }
  SECTION("tokens outside the vocabulary, and floats") {
    formats::write_npy(options.input, torch::full({1, 3}, 20));
    CHECK_THROWS_WITH(run_predict(options), Contains("token 20, the network has 0 to 19"));
    formats::write_npy(options.input, torch::zeros({1, 3}));
    CHECK_THROWS_WITH(run_predict(options), Contains("want integers [batch, length]"));
  }
}

TEST_CASE("sequences: predict takes targets of which some count, and tokens of any type",
          "[sequences]") {
  const Scratch scratch;
  save_llama(scratch / "llama");
  auto options = prediction(scratch.path(), scratch / "llama");
  const auto logits = run_predict(options).output;
  SECTION("targets") {
    options.target = (scratch / "target.npy").string();
    auto target = torch::full({2, 15}, -100);
    formats::write_npy(options.target, target);
    CHECK_THROWS_WITH(run_predict(options), Contains("no token counts, all are negative"));
    target[1][4] = 7;
    formats::write_npy(options.target, target);
    const auto loss = -logits[1][4].to(torch::kFloat64).log_softmax(0)[7].item<double>();
    CHECK(run_predict(options).loss == Approx(loss).epsilon(1e-6));
    target[0][0] = 20;
    formats::write_npy(options.target, target);
    CHECK_THROWS_WITH(run_predict(options), Contains("token 20, the network has 0 to 19"));
  }
  SECTION("uint16, as nanoGPT writes its tokens") {
    std::string header = "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 15), }";
    header.resize(118, ' ');
    std::string bytes = std::string("\x93NUMPY\1\0v\0", 10) + header;
    for (char i = 0; i < 30; ++i) bytes += {static_cast<char>(i % 20), '\0'};
    formats::write_file_atomically(options.input, bytes);
    CHECK(torch::equal(run_predict(options).output, logits));
  }
}

TEST_CASE("sequences: every shipped config of a language model is valid and has its size",
          "[sequences]") {
  int64_t found = 0;
  for (const auto& entry : fs::directory_iterator(asset("configs"))) {
    RunConfig config;
    config.dataset.image_size = 0;
    read_toml(entry.path(), config);
    if (!config.is_of_sequences()) continue;
    INFO(entry.path());
    CHECK_NOTHROW(config.validate());
    const auto name = entry.path().stem().string();
    if (name.find("141m") != std::string::npos)
      CHECK(model::parameter_count(config.model) / 1000000 == 141);
    ++found;
  }
  CHECK(found >= 7);
}
