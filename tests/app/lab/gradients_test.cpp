// Norms of gradients by block, against float64 autograd by other ways and against finite
// differences.
#include "app/lab/gradients.h"

#include <cmath>

#include "model/attention/probe.h"
#include "tests/app/lab/tiny_networks.h"
#include "tests/support/catch.h"

using namespace uvic;
using namespace uvic::app;
using namespace uvic::test;

namespace {

/// A small network in float64 with one image and its time and class.
struct WideCase {
  model::NetworkPtr network;
  torch::Tensor x, time = torch::tensor({400.}, torch::kFloat64), label = torch::tensor({3});
  torch::Tensor target;

  explicit WideCase(const std::string& attention) : network(tiny_network(tiny_run(attention))) {
    network->to(torch::kFloat64);
    torch::manual_seed(8);
    x = torch::randn({1, 3, 16, 16}, torch::kFloat64);
    target = torch::randn({1, 3, 16, 16}, torch::kFloat64);
  }
  torch::Tensor loss() { return (network->forward(x, time, label) - target).square().mean(); }
};

const char* const kBlocks[] = {"in_blocks.0.", "mid_block.", "out_blocks.0."};

/// Gradients of the residual stream by hooks and backward(), not by autograd::grad().
class HookStream : public model::AttentionProbe {
 public:
  bool sees() const override { return false; }
  bool takes_outputs() const override { return true; }
  void take_output(int64_t, const torch::Tensor& out) override {
    outputs.push_back(out.detach());
    gradients.emplace_back();
    const auto at = gradients.size() - 1;
    out.register_hook([this, at](const torch::Tensor& gradient) { gradients[at] = gradient; });
  }
  std::vector<torch::Tensor> outputs, gradients;
};

}  // namespace

TEST_CASE("gradients: norms are those of float64 autograd, block by block", "[lab][gradients]") {
  for (const auto* kind : {"cog", "softmax", "elliptical"}) {
    INFO(kind);
    WideCase wide(kind);
    const auto found = block_gradients(*wide.network, [&] { return wide.loss(); });
    REQUIRE(found.sizes() == torch::IntArrayRef({3, 3}));
    for (const auto& parameter : wide.network->parameters())
      CHECK_FALSE(parameter.grad().defined());

    HookStream hooks;
    {
      const model::ProbeScope scope(&hooks);
      wide.loss().backward();
    }
    for (int64_t b = 0; b < 3; ++b) {
      double squares = 0;
      torch::Tensor bias;
      for (const auto& item : wide.network->named_parameters()) {
        if (item.key().rfind(kBlocks[b], 0) != 0 || !item.value().grad().defined()) continue;
        squares += item.value().grad().square().sum().item<double>();
        if (item.key() == std::string(kBlocks[b]) + "mlp.fc2.bias") bias = item.value().grad();
      }
      CHECK(found[b][2].item<double>() == Approx(std::sqrt(squares)).epsilon(1e-12));
      const auto& g = hooks.gradients[static_cast<size_t>(b)];
      // The last bias of a block is added to each token: its gradient is the sum over them.
      CHECK(torch::allclose(g[0].sum(0), bias, 1e-10, 1e-14));
      double mean = 0, relative = 0;
      for (int64_t i = 0; i < g.size(1); ++i) {
        const double at_token = std::sqrt(g[0][i].square().sum().item<double>());
        mean += at_token / static_cast<double>(g.size(1));
        relative +=
            at_token *
            std::sqrt(hooks.outputs[static_cast<size_t>(b)][0][i].square().sum().item<double>());
      }
      CHECK(found[b][0].item<double>() == Approx(mean).epsilon(1e-12));
      CHECK(found[b][1].item<double>() == Approx(relative).epsilon(1e-12));
    }
  }
}

TEST_CASE("gradients: a step along a block's gradient changes the loss by its norm",
          "[lab][gradients]") {
  WideCase wide("cog");
  const auto found = block_gradients(*wide.network, [&] { return wide.loss(); });
  wide.loss().backward();
  constexpr double kStep = 1e-5;
  for (int64_t b = 0; b < 3; ++b) {
    const double norm = found[b][2].item<double>();
    const auto move = [&](double by) {
      const torch::NoGradGuard no_grad;
      for (auto& item : wide.network->named_parameters())
        if (item.key().rfind(kBlocks[b], 0) == 0 && item.value().grad().defined())
          item.value().add_(item.value().grad(), by / norm);
    };
    const auto loss_at = [&](double by) {
      move(by);
      const torch::NoGradGuard no_grad;
      const double loss = wide.loss().item<double>();
      move(-by);
      return loss;
    };
    CHECK((loss_at(kStep) - loss_at(-kStep)) / (2 * kStep) == Approx(norm).epsilon(1e-5));
  }
}

TEST_CASE("gradients: of examples, with errors, and the same of blocks that are computed again",
          "[lab][gradients]") {
  auto config = tiny_run("cog");
  LabExamples examples(config, "procedural", 0, torch::kCPU);
  const auto network = tiny_network(config);
  int64_t calls = 0;
  ImageFeed feed(examples, {0.2, 0.8}), late(examples, {0.8});
  const auto moments = measure_gradients(*network, feed, 3, [&](int64_t) { ++calls; });
  CHECK(calls == 6);
  REQUIRE(moments.size() == 2);
  REQUIRE(moments[0].size() == 9);
  for (int64_t i = 0; i < 9; ++i) {
    CHECK(moments[1].count(i) == 3);
    CHECK(moments[1].mean(i) > 0);
    CHECK(moments[1].error(i) > 0);
  }
  // The first example alone.
  LabExamples::Reader reader(examples);
  const auto batch = reader.next(1);
  const auto example = examples.at(batch, 0.8);
  const auto first = block_gradients(*network, [&] {
    return examples
        .losses(network->forward(example.x_t, example.network_time, batch.condition), example)
        .sum();
  });
  const auto alone = measure_gradients(*network, late, 1, [](int64_t) {});
  CHECK(alone[0].mean(5) == first[1][2].item<double>());

  config.model.uvit.use_checkpoint = true;
  const auto again = tiny_network(config);
  const auto same = measure_gradients(*again, late, 1, [](int64_t) {});
  for (int64_t i = 0; i < 9; ++i) CHECK(same[0].mean(i) == Approx(alone[0].mean(i)));
}
