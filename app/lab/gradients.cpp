#include "app/lab/gradients.h"

#include <torch/nn/module.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "model/attention/probe.h"
#include "model/decoder_lm/decoder_lm_layers.h"
#include "model/layers.h"

namespace uvic::app {
namespace {

/// Keeps the residual stream after each block, with its graph.
class StreamProbe : public model::AttentionProbe {
 public:
  bool sees() const override { return false; }
  bool takes_outputs() const override { return true; }
  void take_output(int64_t layer, const torch::Tensor& out) override {
    outputs.resize(std::max(outputs.size(), static_cast<size_t>(layer + 1)));
    outputs[static_cast<size_t>(layer)] = out;
  }
  std::vector<torch::Tensor> outputs;  ///< [B, L, dim] of each block
};

/// The parameters of each block, by its number.
std::vector<std::vector<torch::Tensor>> parameters_of_blocks(const model::Network& network) {
  std::vector<std::vector<torch::Tensor>> blocks;
  const auto add = [&](int64_t layer, const torch::nn::Module& block) {
    blocks.resize(std::max(blocks.size(), static_cast<size_t>(layer + 1)));
    blocks[static_cast<size_t>(layer)] = block.parameters();
  };
  for (const auto& module : network.modules(/*include_self=*/false)) {
    if (const auto* block = dynamic_cast<const model::BlockImpl*>(module.get()))
      add(block->attn->layer(), *block);
    if (const auto* layer = dynamic_cast<const model::DecoderLayerImpl*>(module.get()))
      add(layer->self_attn->layer(), *layer);
  }
  return blocks;
}

torch::Tensor wide_on_cpu(const torch::Tensor& t) {
  return t.detach().to(torch::kCPU, torch::kFloat64);
}

}  // namespace

const std::vector<model::AttentionStatistic>& gradient_statistics() {
  static const std::vector<model::AttentionStatistic> all = {
      {"token_gradient",
       "gradient at a token",
       "mean over tokens of |dL/dX|, L the loss of an example, X the tokens after the block",
       ""},
      {"relative_gradient",
       "gradient times norm of the tokens",
       "sum over tokens of |X| |dL/dX|: to first order, the largest change of the loss for a "
       "relative change of the tokens",
       ""},
      {"parameter_gradient",
       "gradient of the block's parameters",
       "|dL/dtheta|, theta all parameters of the block, L the loss of one example",
       ""},
  };
  return all;
}

torch::Tensor block_gradients(model::Network& network,
                              const std::function<torch::Tensor()>& loss,
                              int64_t tokens) {
  const torch::AutoGradMode with_gradients(true);
  const auto parameters = parameters_of_blocks(network);
  StreamProbe stream;
  torch::Tensor value;
  {
    const model::ProbeScope scope(&stream);
    value = loss();
  }
  base::require(!stream.outputs.empty() && stream.outputs.size() == parameters.size(),
                "attention: the network has no blocks to look at");
  if (std::isnan(value.item<double>()))
    return torch::full({static_cast<int64_t>(parameters.size()),
                        static_cast<int64_t>(gradient_statistics().size())},
                       std::numeric_limits<double>::quiet_NaN(),
                       torch::kFloat64);
  auto wanted = stream.outputs;
  for (size_t b = 0; b < parameters.size(); ++b) {
    base::require(stream.outputs[b].requires_grad(),
                  "attention: block {} is computed again in the backward pass; open the network "
                  "with model.use_checkpoint off",
                  b);
    wanted.insert(wanted.end(), parameters[b].begin(), parameters[b].end());
  }
  const auto gradients = torch::autograd::grad({value},
                                               wanted,
                                               /*grad_outputs=*/{},
                                               /*retain_graph=*/false,
                                               /*create_graph=*/false,
                                               /*allow_unused=*/true);
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> rows;
  size_t next = parameters.size();
  for (size_t b = 0; b < parameters.size(); ++b) {
    const auto seen = [&](const torch::Tensor& x) {
      return wide_on_cpu(tokens > 0 ? x.slice(1, 0, tokens) : x);
    };
    const auto of_tokens = seen(gradients[b]).norm(2, -1);  // [1, L]
    const auto norms = seen(stream.outputs[b]).norm(2, -1);
    double squares = 0;
    for (size_t i = 0; i < parameters[b].size(); ++i, ++next)
      if (gradients[next].defined())
        squares += wide_on_cpu(gradients[next]).square().sum().item<double>();
    rows.push_back(torch::tensor({of_tokens.mean().item<double>(),
                                  (of_tokens * norms).sum().item<double>(),
                                  std::sqrt(squares)},
                                 torch::kFloat64));
  }
  return torch::stack(rows);
}

std::vector<Moments> measure_gradients(model::Network& network,
                                       LabFeed& feed,
                                       int64_t examples,
                                       const std::function<void(int64_t)>& progress) {
  std::vector<Moments> moments(feed.places().size());
  feed.rewind();
  int64_t done = 0;
  for (int64_t i = 0; i < examples; ++i) {
    feed.read(1);
    for (size_t number = 0; number < feed.passes(); ++number) {
      const auto pass = feed.pass(number);
      for (const auto place : pass.places) {
        const auto loss = [&] {
          return feed.losses(network.forward(pass.x, pass.time, pass.condition), place).sum();
        };
        const auto numbers =
            block_gradients(network, loss, feed.tokens_of_loss(place)).contiguous();
        if (moments[place].size() == 0) moments[place] = Moments(numbers.numel());
        moments[place].add(numbers.data_ptr<double>());
        progress(++done);
      }
    }
  }
  return moments;
}

}  // namespace uvic::app
