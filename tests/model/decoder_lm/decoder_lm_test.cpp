// An independent PyTorch reading of Llama's architecture (tests/golden/model/make_decoder_lm.py),
// and what must hold of the network by itself.
#include "model/decoder_lm/decoder_lm.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "model/kernel_choice.h"
#include "model/weights.h"
#include "tests/model/thrown.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using nlohmann::json;
using uvic::test::contains;
using uvic::test::refusal;
using uvic::test::relative_l2;

namespace {

/// The hash of make_decoder_lm.py.
std::vector<uint32_t> bits(const std::string& name, int64_t count) {
  uint32_t seed = 2166136261u;
  for (const unsigned char byte : name) seed = (seed ^ byte) * 16777619u;
  std::vector<uint32_t> result(count);
  for (int64_t i = 0; i < count; ++i) {
    uint32_t h = static_cast<uint32_t>(i) * 0x9E3779B9u + seed;
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    result[i] = h ^ (h >> 16);
  }
  return result;
}

torch::Tensor uniform(const std::string& name, at::IntArrayRef shape) {
  auto u = torch::empty(shape, torch::kFloat64);
  const auto hashes = bits(name, u.numel());
  for (size_t i = 0; i < hashes.size(); ++i)
    u.data_ptr<double>()[i] = (hashes[i] >> 8) / 8388608.0 - 1;
  return u;
}

torch::Tensor weight(const std::string& name, at::IntArrayRef shape) {
  const auto u = uniform(name, shape);
  if (name.find("norm") != std::string::npos) return (1 + 0.2 * u).to(torch::kFloat32);
  if (shape.size() == 1) return (0.3 * u).to(torch::kFloat32);
  if (name.find("embed") != std::string::npos) return (1.5 * u).to(torch::kFloat32);
  return (2 * std::sqrt(3.0 / shape[1]) * u).to(torch::kFloat32);
}

torch::Tensor tokens(const std::string& name, int64_t batch, int64_t length, int64_t vocabulary) {
  auto t = torch::empty({batch, length}, torch::kInt64);
  const auto hashes = bits(name, t.numel());
  for (size_t i = 0; i < hashes.size(); ++i) t.data_ptr<int64_t>()[i] = hashes[i] % vocabulary;
  return t;
}

DecoderLMConfig decoder_config(const json& given) {
  DecoderLMConfig config;
  config.attention = "softmax";
  config.fields([&](const char* name, auto& field, const uvic::base::Field&) {
    if (given.contains(name)) field = given.at(name).get<std::decay_t<decltype(field)>>();
  });
  return config;
}

DecoderLM by_rule(const DecoderLMConfig& config) {
  DecoderLM net(config);
  const torch::NoGradGuard no_grad;
  for (auto& item : net->named_parameters())
    item.value().copy_(weight(item.key(), item.value().sizes()));
  return net;
}

DecoderLMConfig tiny(const std::string& attention) {
  DecoderLMConfig config;
  config.vocab_size = 13;
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.max_position_embeddings = 400;
  config.attention = attention;
  config.placement = "all";
  return config;
}

json decoder_golden() {
  std::ifstream file(std::string(UVIC_GOLDEN_DIR) + "/model/decoder_lm.json");
  return json::parse(file);
}

}  // namespace

TEST_CASE("decoder_lm: logits and gradients of an independent PyTorch reading", "[decoder_lm]") {
  for (const auto& one : decoder_golden()) {
    const auto config = decoder_config(one["config"]);
    const int64_t batch = one["batch"], length = one["length"];
    const auto x = tokens("tokens", batch, length, config.vocab_size),
               targets = tokens("targets", batch, length, config.vocab_size);
    const auto expected = torch::tensor(one["logits"].get<std::vector<double>>(), torch::kFloat64)
                              .view({batch, length, config.vocab_size});
    for (const bool fused : {true, false}) {
      INFO(one["name"] << (fused ? " fused" : " plain"));
      use_fused_kernels(fused);
      auto net = by_rule(config);
      const auto logits = net->forward(x, {}, {});
      CHECK(relative_l2(logits, expected) < 1e-5);
      const auto loss = token_loss(logits, targets, /*sum=*/false);
      CHECK(loss.item<double>() == Approx(one["loss"].get<double>()).epsilon(1e-6));
      loss.backward();
      CHECK(net->named_parameters().size() == one["gradients"].size());
      for (const auto& item : net->named_parameters()) {
        INFO(item.key());
        const auto& wanted = one["gradients"].at(item.key());
        const auto gradient = item.value().grad().to(torch::kFloat64);
        const double norm = wanted[1], along = wanted[0];
        const auto direction = uniform(item.key() + ".direction", gradient.sizes());
        CHECK(gradient.norm().item<double>() == Approx(norm).epsilon(1e-5));
        // The direction has components of about 1/sqrt(3).
        CHECK(std::abs((gradient * direction).sum().item<double>() - along) < 1e-5 * norm);
      }
    }
  }
  use_fused_kernels(true);
}

TEST_CASE("decoder_lm: with a cache the same logits as without, for every kind", "[decoder_lm]") {
  const torch::NoGradGuard no_grad;
  for (const auto& kind : attention_kinds())
    for (const char* positions : {"rope", "learned", "none"})
      for (const int64_t step : {1, 7, 300}) {
        INFO(kind.name << ' ' << positions << ' ' << step);
        auto config = tiny(kind.name);
        config.positions = positions;
        torch::manual_seed(1);
        DecoderLM net(config);
        for (auto& p : net->parameters()) p.mul_(2);
        const int64_t length = step == 300 ? 310 : 20;
        const auto x = tokens("x", 2, length, config.vocab_size);
        const auto whole = net->forward(x, {}, {});
        const auto memory = net->new_memory();
        std::vector<torch::Tensor> pieces;
        for (const auto& piece : x.split(step, 1)) pieces.push_back(net->extend(piece, *memory));
        CHECK(memory->tokens() == length);
        CHECK(relative_l2(torch::cat(pieces, 1), whole) < 1e-6);
      }
}

TEST_CASE("decoder_lm: kept rotations are those of any number of places, and stay in place",
          "[decoder_lm]") {
  auto config = tiny("cog");
  config.rope_scaling = "linear", config.rope_factor = 4;
  RotationTables tables;
  const auto get = [&](int64_t width, int64_t places, torch::Dtype dtype = torch::kFloat32) {
    return tables.get(config, width, places, torch::kCPU, dtype);
  };
  Rotations first;
  {
    const c10::InferenceMode inference;
    first = get(8, 5);
  }
  CHECK(!first.cos.is_inference());
  for (const int64_t width : {8, 4})
    for (const int64_t places : {3, 5, 6, 64, 7, 130, 301}) {
      const auto right = rope_rotations(config, width, places), kept = get(width, places);
      CHECK(torch::equal(kept.cos, right.cos));
      CHECK(torch::equal(kept.sin, right.sin));
    }
  CHECK(get(8, 5).cos.data_ptr() == first.cos.data_ptr());
  CHECK(torch::equal(first.sin, rope_rotations(config, 8, 5).sin));
  CHECK(torch::equal(get(8, 5, torch::kFloat64).cos, first.cos.to(torch::kFloat64)));
}

TEST_CASE("decoder_lm: logits depend on no later token, for every kind", "[decoder_lm]") {
  const torch::NoGradGuard no_grad;
  for (const auto& kind : attention_kinds()) {
    INFO(kind.name);
    torch::manual_seed(2);
    DecoderLM net(tiny(kind.name));
    const auto x = tokens("x", 1, 300, 13);
    auto y = x.clone();
    y.slice(1, 150) = 12 - y.slice(1, 150);
    const auto a = net->forward(x, {}, {}), b = net->forward(y, {}, {});
    CHECK(relative_l2(a.slice(1, 0, 150), b.slice(1, 0, 150)) < 1e-6);
    CHECK(relative_l2(a.slice(1, 150), b.slice(1, 150)) > 1e-3);
  }
}

TEST_CASE("decoder_lm: the parameter count is that of the network, for every kind",
          "[decoder_lm]") {
  for (const auto& kind : attention_kinds())
    for (const char* positions : {"rope", "learned", "none"})
      for (const bool tied : {true, false}) {
        INFO(kind.name << ' ' << positions);
        auto config = tiny(kind.name);
        config.positions = positions;
        config.placement = "inner";
        config.tie_word_embeddings = tied;
        config.attention_bias = config.mlp_bias = tied;
        int64_t total = 0;
        for (const auto& p : DecoderLM(config)->parameters()) total += p.numel();
        CHECK(parameter_count(config) == total);
      }
}

TEST_CASE("decoder_lm: recomputed layers give the same gradients", "[decoder_lm]") {
  for (const auto& kind : attention_kinds()) {
    INFO(kind.name);
    std::vector<torch::Tensor> gradients[2];
    for (const bool recompute : {false, true}) {
      auto config = tiny(kind.name);
      config.use_checkpoint = recompute;
      torch::manual_seed(3);
      DecoderLM net(config);
      token_loss(net->forward(tokens("x", 2, 9, 13), {}, {}), tokens("y", 2, 9, 13), true)
          .backward();
      for (const auto& p : net->parameters()) gradients[recompute].push_back(p.grad());
    }
    for (size_t i = 0; i < gradients[0].size(); ++i)
      CHECK(torch::equal(gradients[0][i], gradients[1][i]));
  }
}

TEST_CASE("decoder_lm: what it can't take is said in one line", "[decoder_lm]") {
  auto config = tiny("factored");
  config.max_position_embeddings = 8;
  DecoderLM net(config);
  CHECK(contains(refusal([&] { net->forward(tokens("x", 1, 9, 13), {}, {}); }),
                 "9 tokens, the network has 8 positions"));
  CHECK(contains(refusal([&] {
                   net->forward(torch::full({1, 3}, 13), {}, {});
                 }),
                 "token 13, the vocabulary has 0 to 12"));
  CHECK(contains(refusal([&] {
                   net->forward(torch::zeros({1, 3}), {}, {});
                 }),
                 "int64 [batch, length]"));
  config.num_key_value_heads = 3;
  CHECK(contains(refusal([&] { config.validate(); }), "num_key_value_heads 3"));
}

TEST_CASE("decoder_lm: a config is read off the shapes", "[decoder_lm]") {
  auto config = tiny("cog");
  config.tie_word_embeddings = true;
  NetworkConfig network;
  network.kind = "decoder_lm";
  network.decoder_lm = config;
  const auto weights = named_weights(*make_network(network));
  ShapeHints hints;
  CHECK_THROWS_AS(guess_config(weights, hints, "file"), UnknownNetwork);
  hints.num_heads = 4;
  hints.attention = "cog";
  hints.placement = "all";
  auto guess = guess_config(weights, hints, "file");
  guess.config.decoder_lm.max_position_embeddings = 400;  // no tensor says it
  CHECK(same_network(guess.config, network));
}
