// Probes in a language model: the same bits with and without, and what they see belongs together.
#include "model/decoder_lm/decoder_lm.h"
#include "tests/support/all_close.h"
#include "tests/support/catch.h"

using namespace uvic::model;
using uvic::test::relative_l2;

namespace {

DecoderLMConfig small_decoder(const std::string& attention) {
  DecoderLMConfig config;
  config.vocab_size = 13, config.hidden_size = 32, config.intermediate_size = 48;
  config.num_hidden_layers = 3, config.num_attention_heads = 4, config.num_key_value_heads = 2;
  config.max_position_embeddings = 12, config.init = "scaled";
  config.attention = attention, config.placement = "all";
  return config;
}

class KeepLayers : public AttentionProbe {
 public:
  void see(const BlockView& view) override { views.push_back(view); }
  bool takes_outputs() const override { return true; }
  void take_output(int64_t layer, const torch::Tensor& out) override {
    CHECK(layer == static_cast<int64_t>(outputs.size()));
    outputs.push_back(out);
  }
  std::vector<BlockView> views;
  std::vector<torch::Tensor> outputs;
};

class NoHeads : public AttentionProbe {
 public:
  bool sees() const override { return false; }
  bool replaces(int64_t layer) const override { return layer == 1; }
  torch::Tensor replacement(int64_t,
                            const AttentionKind&,
                            const AttentionInput& in) const override {
    return torch::zeros_like(in.q);
  }
};

}  // namespace

TEST_CASE("decoder probe: logits and gradients have the same bits with it and without",
          "[attention][probe][decoder_lm]") {
  torch::manual_seed(3);
  const auto tokens = torch::randint(13, {2, 9});
  for (const auto* kind :
       {"softmax", "cog", "elliptical", "gated", "differential", "factored", "extensive"}) {
    INFO(kind);
    DecoderLM network(small_decoder(kind));
    const auto run = [&] {
      network->zero_grad();
      const auto logits = network->forward(tokens, {}, {});
      logits.square().sum().backward();
      return std::pair(logits.detach(), network->model->embed_tokens->weight.grad().clone());
    };
    const auto [logits, gradient] = run();
    KeepLayers keep;
    const ProbeScope scope(&keep);
    const auto [probed, probed_gradient] = run();
    CHECK(probed.equal(logits));
    CHECK(probed_gradient.equal(gradient));
    REQUIRE(keep.views.size() == 3);
    REQUIRE(keep.outputs.size() == 3);
    for (int64_t layer = 0; layer < 3; ++layer) {
      const auto& view = keep.views[static_cast<size_t>(layer)];
      CHECK(view.layer == layer);
      CHECK(view.attention.causal);
      CHECK_FALSE(view.x.requires_grad());
      CHECK(view.out.equal(keep.outputs[static_cast<size_t>(layer)]));
      CHECK(keep.outputs[static_cast<size_t>(layer)].requires_grad());
      // Each layer begins with what the one before left.
      if (layer > 0) CHECK(view.x.equal(keep.views[static_cast<size_t>(layer - 1)].out));
      const auto w = view.kind->weights(view.attention);
      CHECK(w.triu(1).abs().max().item<double>() == 0);
    }
  }
}

TEST_CASE("decoder probe: weights and values that it sees give the output of the layer",
          "[attention][probe][decoder_lm]") {
  torch::manual_seed(5);
  for (const auto* kind : {"softmax", "cog", "elliptical"}) {
    INFO(kind);
    DecoderLM network(small_decoder(kind));
    KeepLayers keep;
    const ProbeScope scope(&keep);
    const torch::NoGradGuard no_grad;
    network->forward(torch::randint(13, {2, 9}), {}, {});
    const auto& view = keep.views.at(1);
    const auto layer = network->model->layers->ptr<DecoderLayerImpl>(1);
    // The values are the product of the tokens with value_weight, by head.
    const auto values =
        torch::linear(view.tokens, view.value_weight).view({2, 9, 4, 8}).transpose(1, 2);
    CHECK(relative_l2(values, view.attention.v) < 1e-6);
    const auto heads = view.kind->weights(view.attention).matmul(view.attention.v);
    const auto x = view.x + torch::linear(heads.transpose(1, 2).flatten(2), view.proj_weight);
    const auto normed = layer->post_attention_layernorm->forward(x, torch::kFloat32);
    CHECK(relative_l2(x + layer->mlp->forward(normed), view.out) < 1e-5);
  }
}

TEST_CASE("decoder probe: heads can be replaced, and tokens after a cache are not shown",
          "[attention][probe][decoder_lm]") {
  torch::manual_seed(6);
  DecoderLM network(small_decoder("cog"));
  const torch::NoGradGuard no_grad;
  const auto tokens = torch::randint(13, {2, 9});
  const auto without = network->forward(tokens, {}, {});
  torch::Tensor removed;
  {
    NoHeads none;
    const ProbeScope scope(&none);
    removed = network->forward(tokens, {}, {});
  }
  KeepLayers keep;
  {
    const ProbeScope scope(&keep);
    const auto memory = network->new_memory();
    CHECK(relative_l2(network->extend(tokens, *memory), without) < 1e-5);
  }
  CHECK(keep.views.empty());
  network->model->layers->ptr<DecoderLayerImpl>(1)->self_attn->o_proj->weight.zero_();
  CHECK(relative_l2(removed, network->forward(tokens, {}, {})) < 1e-6);
  CHECK(relative_l2(removed, without) > 1e-3);
}
