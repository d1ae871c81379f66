#include "model/small_sequence/small_sequence.h"

#include "tests/model/thrown.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::contains;
using uvic::test::refusal;
using uvic::test::relative_l2;

namespace {

NetworkConfig config_of(const std::string& kind) {
  NetworkConfig config;
  config.kind = kind;
  config.small.vocab_size = 7;
  config.small.hidden_size = 12;
  config.small.length = 20;
  config.small.window = 5;
  config.small.intermediate_size = 16;
  return config;
}

constexpr const char* kSmallKinds[] = {"lstm", "mlp", "cisformer"};

}  // namespace

TEST_CASE("small sequences: parameter counts, causality and a memory", "[small_sequence]") {
  const torch::NoGradGuard no_grad;
  for (const auto* kind : kSmallKinds) {
    INFO(kind);
    torch::manual_seed(1);
    const auto network = as_sequence_network(make_network(config_of(kind)));
    int64_t total = 0;
    for (const auto& p : network->parameters()) total += p.numel();
    CHECK(parameter_count(config_of(kind)) == total);
    const auto x = torch::randint(0, 7, {2, 20}, torch::kInt64);
    auto y = x.clone();
    y.slice(1, 12) = 6 - y.slice(1, 12);
    const auto a = network->forward(x, {}, {}), b = network->forward(y, {}, {});
    CHECK(a.sizes() == torch::IntArrayRef({2, 20, 7}));
    CHECK(relative_l2(a.slice(1, 0, 12), b.slice(1, 0, 12)) < 1e-6);
    CHECK(relative_l2(a.slice(1, 12), b.slice(1, 12)) > 1e-3);
    const auto memory = network->new_memory();
    std::vector<torch::Tensor> pieces;
    for (const auto& piece : x.split(3, 1)) pieces.push_back(network->extend(piece, *memory));
    CHECK(relative_l2(torch::cat(pieces, 1), a) < 1e-6);
  }
}

TEST_CASE("small sequences: every attention kind in a cisformer", "[small_sequence]") {
  for (const auto& kind : attention_kinds()) {
    INFO(kind.name);
    auto config = config_of("cisformer");
    config.small.attention = kind.name;
    const auto network = make_network(config);
    int64_t total = 0;
    for (const auto& p : network->parameters()) total += p.numel();
    CHECK(parameter_count(config) == total);
    const auto x = torch::randint(0, 7, {2, 20}, torch::kInt64);
    token_loss(network->forward(x, {}, {}), x, /*sum=*/false).backward();
    for (const auto& p : network->named_parameters()) {
      INFO(p.key());
      CHECK(p.value().grad().defined());
    }
  }
}

TEST_CASE("small sequences: an MLP sees its window and no more", "[small_sequence]") {
  const torch::NoGradGuard no_grad;
  const auto network = make_network(config_of("mlp"));
  const auto x = torch::randint(0, 7, {1, 20}, torch::kInt64);
  auto y = x.clone();
  y[0][10] = (y[0][10] + 1) % 7;
  const auto change = (network->forward(x, {}, {}) - network->forward(y, {}, {})).abs().amax(2)[0];
  for (int64_t t = 0; t < 20; ++t) CHECK((change[t].item<double>() > 1e-4) == (t >= 10 && t < 15));
}

TEST_CASE("small sequences: a cisformer of other places is refused", "[small_sequence]") {
  const auto network = make_network(config_of("cisformer"));
  CHECK(contains(refusal([&] {
                   network->forward(torch::zeros({1, 21}, torch::kInt64), {}, {});
                 }),
                 "21 tokens, the network has 20 positions"));
}
