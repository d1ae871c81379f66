// Keys and values of low rank: what they compute, what the cache keeps, and which ranks are chosen.
#include "model/decoder_lm/low_rank.h"

#include <cmath>

#include "model/attention/attention.h"
#include "model/network.h"
#include "model/network_config.h"
#include "model/weights.h"
#include "tests/model/thrown.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::contains;
using uvic::test::refusal;
using uvic::test::relative_l2;

namespace {

constexpr int64_t kTokensGiven = 40;

DecoderLMConfig compressible_decoder(const std::string& attention,
                                     const std::string& positions = "rope") {
  DecoderLMConfig config;
  config.vocab_size = 23;
  config.hidden_size = 48;
  config.intermediate_size = 40;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  config.max_position_embeddings = 64;
  config.attention = attention;
  config.placement = "all";
  config.positions = positions;
  config.attention_bias = true;
  config.init = "scaled";
  return config;
}

/// A network whose attention is far from uniform.
DecoderLM strong_decoder(const DecoderLMConfig& config, int64_t seed = 3) {
  torch::manual_seed(seed);
  DecoderLM net(config);
  const torch::NoGradGuard no_grad;
  for (auto& item : net->named_parameters())
    if (item.key().find("_proj.bias") != std::string::npos) item.value().normal_(0, 0.3);
  net->eval();
  return net;
}

torch::Tensor given_tokens(int64_t batch, int64_t length = kTokensGiven) {
  const auto generator = at::detail::createCPUGenerator(/*seed=*/8);
  return torch::randint(23, {batch, length}, generator, torch::kInt64);
}

std::vector<HeadMoments> moments_of(DecoderLM& net) {
  int64_t calls = 0;
  return measure_heads(
      *net, [&]() -> torch::Tensor { return calls++ < 3 ? given_tokens(4) : torch::Tensor(); });
}

DecoderLM network_of(const LowRankWeights& weights) {
  DecoderLM net(weights.config);
  load_weights(*net, weights.tensors, "weights");
  net->eval();
  return net;
}

/// q, k and v of every head get `rank` directions: their rows are mixtures of so many.
void reduce_by_construction(DecoderLM& net, int64_t rank) {
  const torch::NoGradGuard no_grad;
  const auto& config = net->config();
  const int64_t width = config.head_width(), key_heads = config.key_value_heads(),
                group = config.num_attention_heads / key_heads;
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    auto& attention = *net->model->layers->ptr<DecoderLayerImpl>(i)->self_attn;
    const auto flatten = [&](torch::Tensor x, const torch::Tensor& bases) {  // [heads D, ...]
      const auto rows = x.view({bases.size(0), width, -1});
      rows.copy_(bases.matmul(bases.transpose(1, 2)).matmul(rows.clone()));
    };
    const auto bases = std::get<0>(torch::linalg_qr(torch::randn({key_heads, width, rank})));
    const auto of_values = std::get<0>(torch::linalg_qr(torch::randn({key_heads, width, rank})));
    for (auto x : {attention.k_proj->weight, attention.k_proj->bias}) flatten(x, bases);
    for (auto x : {attention.q_proj->weight, attention.q_proj->bias})
      flatten(x, bases.repeat_interleave(group, 0));
    for (auto x : {attention.v_proj->weight, attention.v_proj->bias}) flatten(x, of_values);
  }
}

torch::Tensor step_by_step(DecoderLM& net, const torch::Tensor& all, int64_t step) {
  const auto memory = net->new_memory();
  std::vector<torch::Tensor> parts;
  for (int64_t begin = 0; begin < all.size(1); begin += step)
    parts.push_back(net->extend(all.slice(1, begin, std::min(begin + step, all.size(1))), *memory));
  return torch::cat(parts, 1);
}

}  // namespace

TEST_CASE("low rank: a threshold of 1 keeps every tensor and every logit", "[low_rank]") {
  auto net = strong_decoder(compressible_decoder("cog"));
  const auto weights = compress_heads(*net, moments_of(net), 1);
  CHECK(same_decoder_lm(weights.config, net->config()));
  auto same = network_of(weights);
  const torch::NoGradGuard no_grad;
  CHECK(relative_l2(same->forward(given_tokens(2), {}, {}), net->forward(given_tokens(2), {}, {})) <
        1e-5);
}

TEST_CASE("low rank: a network of low rank by construction loses nothing, of every kind",
          "[low_rank]") {
  const int64_t rank = 5;
  for (const auto& name : attention_kinds().names())
    for (const std::string positions : {"rope", "none"}) {
      INFO(name << ", " << positions);
      if (!attention_kind(name).uses_scores) continue;  // of values alone: the case below
      auto net = strong_decoder(compressible_decoder(name, positions));
      reduce_by_construction(net, rank);
      const auto weights = compress_heads(*net, moments_of(net), 1 - 1e-9);
      for (const auto& of_layer : cache_ranks(weights.config)) {
        CHECK(of_layer.key == rank);
        CHECK(of_layer.value == rank);
      }
      auto smaller = network_of(weights);
      const torch::NoGradGuard no_grad;
      const auto all = given_tokens(2);
      const auto expected = net->forward(all, {}, {});
      // Of float32 through three layers; weights of another rounding.
      CHECK(relative_l2(smaller->forward(all, {}, {}), expected) < 1e-4);
      if (name != std::string("elliptical"))  // whose mean over tokens a cache does not know
        CHECK(relative_l2(step_by_step(smaller, all, 7), expected) < 1e-4);
    }
}

TEST_CASE("low rank: values alone, of attention without keys", "[low_rank]") {
  auto net = strong_decoder(compressible_decoder("factored"));
  const auto weights = compress_heads(*net, moments_of(net), 0.6);
  CHECK(weights.config.key_ranks.empty());
  auto smaller = network_of(weights);
  const torch::NoGradGuard no_grad;
  const auto all = given_tokens(2);
  CHECK(relative_l2(step_by_step(smaller, all, 9), smaller->forward(all, {}, {})) < 1e-5);
}

TEST_CASE("low rank: the cache of keys and values is as compressible_decoder as the ranks say",
          "[low_rank]") {
  auto net = strong_decoder(compressible_decoder("cog"));
  reduce_by_construction(net, 4);
  auto smaller = network_of(compress_heads(*net, moments_of(net), 1 - 1e-9));
  // 3 layers of 2 heads: keys and values of 16 numbers each, then of 4 each.
  CHECK(cache_numbers(net->config()) == 3 * 2 * (16 + 16));
  CHECK(cache_numbers(smaller->config()) == 3 * 2 * (4 + 4));
  const auto bytes = [](DecoderLM& network) {
    const auto memory = network->new_memory();
    CHECK(memory->bytes() == 0);
    network->extend(given_tokens(1, 64), *memory);  // 64: the room of the first call, full
    return memory->bytes();
  };
  CHECK(bytes(net) == 4 * 64 * cache_numbers(net->config()));
  CHECK(bytes(smaller) == 4 * 64 * cache_numbers(smaller->config()));
}

TEST_CASE("low rank: ranks fall with the threshold, and the error rises", "[low_rank]") {
  auto net = strong_decoder(compressible_decoder("softmax"));
  const auto moments = moments_of(net);
  const torch::NoGradGuard no_grad;
  const auto expected = net->forward(given_tokens(2), {}, {});
  int64_t before = cache_numbers(net->config()) + 1;
  double least_error = -1;
  for (const double threshold : {1.0, 0.95, 0.7, 0.3}) {
    INFO(threshold);
    auto smaller = network_of(compress_heads(*net, moments, threshold));
    CHECK(cache_numbers(smaller->config()) < before);
    before = cache_numbers(smaller->config());
    const auto error = relative_l2(smaller->forward(given_tokens(2), {}, {}), expected);
    CHECK(error > least_error);
    least_error = error;
  }
}

TEST_CASE("low rank: the rank is the one of the head that needs most", "[low_rank]") {
  const auto moments = torch::stack({torch::tensor({8., 1., 1., 0.}, torch::kFloat64).diag(),
                                     torch::tensor({1., 2., 3., 4.}, torch::kFloat64).diag()});
  CHECK(rank_at(moments, 0.4) == 1);   // 0.8 and 0.4
  CHECK(rank_at(moments, 0.41) == 2);  // the second head: 0.7
  CHECK(rank_at(moments, 0.8) == 3);   // 0.9
  CHECK(rank_at(moments, 0.95) == 4);
  CHECK(rank_at(moments.slice(0, 0, 1), 0.95) == 3);
  CHECK(rank_at(moments, 1) == 4);
  CHECK(rank_at(torch::zeros({1, 4, 4}, torch::kFloat64), 0.5) == 1);
}

TEST_CASE("low rank: the moments are sums over tokens of keys, their queries and values",
          "[low_rank]") {
  auto net = strong_decoder(compressible_decoder("cog"));
  const auto moments = moments_of(net);
  REQUIRE(moments.size() == 3);
  // The first layer reads the embedding: its keys can be computed from here.
  const torch::NoGradGuard no_grad;
  auto& layer = *net->model->layers->ptr<DecoderLayerImpl>(0);
  const auto x = layer.input_layernorm->forward(net->model->embed_tokens->forward(given_tokens(4)),
                                                torch::kFloat32);
  const auto head = [&](const LinearImpl& linear, int64_t number) {
    const auto rows = x.matmul(linear.weight.t()) + linear.bias;  // [4, L, heads 16]
    return rows.slice(2, 16 * number, 16 * number + 16).flatten(0, 1).to(torch::kFloat64);
  };
  const auto gram = [](const torch::Tensor& rows) { return rows.t().matmul(rows); };
  auto& attention = *layer.self_attn;
  // Key head 1 serves query heads 2 and 3; three batches are the same tokens.
  const auto keys = 3 * (gram(head(*attention.k_proj, 1)) + gram(head(*attention.q_proj, 2)) +
                         gram(head(*attention.q_proj, 3)));
  CHECK(relative_l2(moments[0].keys[1], keys) < 1e-5);
  CHECK(relative_l2(moments[0].values[1], 3 * gram(head(*attention.v_proj, 1))) < 1e-5);
}

TEST_CASE("low rank: the shape is read off the weights, and counted", "[low_rank]") {
  auto net = strong_decoder(compressible_decoder("softmax"));
  const auto weights = compress_heads(*net, moments_of(net), 0.8);
  ShapeHints hints;
  hints.num_heads = 4;
  const auto guess = guess_config(weights.tensors, hints, "weights");
  CHECK(guess.config.decoder_lm.key_ranks == weights.config.key_ranks);
  CHECK(guess.config.decoder_lm.value_ranks == weights.config.value_ranks);
  CHECK(guess.config.decoder_lm.key_value_heads() == 2);
  auto smaller = network_of(weights);
  int64_t parameters = 0;
  for (const auto& parameter : smaller->parameters()) parameters += parameter.numel();
  CHECK(parameter_count(weights.config) == parameters);
  CHECK(forward_flops(weights.config) != forward_flops(net->config()));
  CHECK(!same_decoder_lm(weights.config, net->config()));
}

TEST_CASE("low rank: what can't be is refused in one line", "[low_rank]") {
  auto net = strong_decoder(compressible_decoder("softmax"));
  const auto moments = moments_of(net);
  CHECK(contains(refusal([&] { compress_heads(*net, moments, 0); }), "--rank_threshold 0"));
  const auto weights = compress_heads(*net, moments, 0.8);
  auto smaller = network_of(weights);
  CHECK(contains(refusal([&] { compress_heads(*smaller, moments_of(smaller), 0.5); }),
                 "low rank already"));
  auto config = compressible_decoder("softmax");
  for (const auto* bad : {"4,4", "4,4,16", "4,x,4", "4,4,4,", "-1,4,4", ",,"}) {
    INFO(bad);
    config.key_ranks = bad;
    CHECK(contains(refusal([&] { config.validate(); }), "model.decoder_lm.key_ranks"));
  }
  config = compressible_decoder("factored");
  config.key_ranks = "4,4,4";
  CHECK(contains(refusal([&] { config.validate(); }), "which has no keys"));
}
