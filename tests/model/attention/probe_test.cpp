// Probes see what a network computes, and leave its prediction alone.
#include "model/attention/probe.h"

#include <mutex>
#include <set>

#include "model/kernel_choice.h"
#include "model/uvit/uvit.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::relative_l2;

namespace {

UViTConfig small_config(const std::string& attention) {
  UViTConfig config;
  config.img_size = 16, config.patch_size = 4, config.embed_dim = 64, config.depth = 2;
  config.num_heads = 2, config.num_classes = 3;
  config.attention = attention, config.placement = "all", config.init = "scaled";
  return config;
}

/// Keeps the views of each example, in the order of the blocks.
class Keep : public AttentionProbe {
 public:
  void see(const BlockView& view) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (int64_t i = 0; i < view.x.size(0); ++i) {
      layers[view.first + i].push_back(view.layer);
      outs[view.first + i].push_back(view.out[i]);
    }
    heads = view.kind->reference(view.attention);
    last = view;
  }
  std::map<int64_t, std::vector<int64_t>> layers;
  std::map<int64_t, std::vector<torch::Tensor>> outs;
  torch::Tensor heads;  // of the last block seen
  BlockView last;

 private:
  std::mutex mutex_;
};

class Replace : public AttentionProbe {
 public:
  explicit Replace(int64_t layer) : layer_(layer) {}
  bool sees() const override { return false; }
  void see(const BlockView&) override { FAIL("see() was not asked for"); }
  bool replaces(int64_t layer) const override { return layer == layer_; }
  torch::Tensor replacement(int64_t layer,
                            const AttentionKind& kind,
                            const AttentionInput& in) const override {
    asked.insert(layer);
    return zero ? torch::zeros_like(in.q) : AttentionProbe::replacement(layer, kind, in);
  }
  bool zero = false;
  mutable std::set<int64_t> asked;

 private:
  int64_t layer_;
};

struct Example {
  UViT network;
  torch::Tensor x = torch::randn({3, 3, 16, 16}), t = torch::tensor({100., 500., 900.}),
                labels = torch::tensor({0, 1, 2});
  explicit Example(const std::string& attention) : network(small_config(attention)) {
    network->eval();
  }
  torch::Tensor forward() {
    const torch::NoGradGuard no_grad;
    return network->forward(x, t.to(torch::kFloat32), labels);
  }
};

}  // namespace

TEST_CASE("probe: a prediction has the same bits with it and without, for every kind",
          "[attention][probe]") {
  torch::manual_seed(3);
  for (const auto* name : {"softmax", "cog", "expressive", "elliptical", "gated", "differential"})
    for (const bool fused : {true, false}) {
      INFO(name << (fused ? ", fused" : ", plain"));
      Example example(name);
      use_fused_kernels(fused);
      const auto without = example.forward();
      Keep keep;
      torch::Tensor with;
      {
        const ProbeScope scope(&keep);
        with = example.forward();
      }
      const auto again = example.forward();
      use_fused_kernels(true);
      CHECK(with.equal(without));
      CHECK(again.equal(without));
      // Every example is seen once in every block, in order.
      REQUIRE(keep.layers.size() == 3);
      for (const auto& [number, layers] : keep.layers)
        CHECK(layers == std::vector<int64_t>{0, 1, 2});
    }
}

TEST_CASE("probe: bfloat16 and gradients keep their bits too", "[attention][probe]") {
  torch::manual_seed(4);
  Example example("cog");
  example.network->set_compute_dtype(torch::kBFloat16);
  const auto gradient = [&] {
    example.network->zero_grad();
    auto out = example.network->forward(example.x, example.t.to(torch::kFloat32), example.labels);
    out.square().sum().backward();
    return std::pair(out.detach(), example.network->pos_embed.grad().clone());
  };
  const auto [out, grad] = gradient();
  Keep keep;
  const ProbeScope scope(&keep);
  const auto [probed_out, probed_grad] = gradient();
  CHECK(probed_out.equal(out));
  CHECK(probed_grad.equal(grad));
  CHECK_FALSE(keep.last.x.requires_grad());
  CHECK_FALSE(keep.last.attention.q.requires_grad());
}

TEST_CASE("probe: q, k, v and the output that it sees belong together", "[attention][probe]") {
  torch::manual_seed(5);
  for (const auto* name : {"cog", "elliptical", "differential"}) {
    INFO(name);
    Example example(name);
    example.x = example.x.slice(0, 0, 1), example.t = example.t.slice(0, 0, 1);
    example.labels = example.labels.slice(0, 0, 1);
    Keep keep;
    const ProbeScope scope(&keep);
    example.forward();
    const auto& view = keep.last;
    CHECK(view.layer == 2);
    CHECK(std::string(view.kind->name) == name);
    // x + proj(heads), then the MLP, is the output of the block.
    const torch::NoGradGuard no_grad;
    const auto block = std::static_pointer_cast<BlockImpl>((*example.network->out_blocks)[0]);
    const auto x =
        view.x +
        torch::linear(keep.heads.transpose(1, 2).flatten(2), view.proj_weight, view.proj_bias);
    const auto out = x + block->mlp->forward(block->norm2->forward(x, torch::kFloat32));
    // Fused and plain float32 code differ by rounding.
    CHECK(relative_l2(out, view.out) < 1e-5);
    CHECK(relative_l2(block->norm1->forward(view.x, torch::kFloat32), view.tokens) < 1e-6);
  }
}

TEST_CASE("probe: replacing attention by itself changes a prediction by rounding alone",
          "[attention][probe]") {
  torch::manual_seed(6);
  Example example("cog");
  const auto without = example.forward();
  Replace same(1);
  {
    const ProbeScope scope(&same);
    CHECK(relative_l2(example.forward(), without) < 1e-5);
  }
  CHECK(same.asked == std::set<int64_t>{1});
  Replace none(1);
  none.zero = true;
  torch::Tensor removed;
  {
    const ProbeScope scope(&none);
    removed = example.forward();
  }
  // Without heads only the bias of the projection is left: as if its weight were 0.
  {
    const torch::NoGradGuard no_grad;
    example.network->mid_block->attn->proj->weight.zero_();
  }
  CHECK(relative_l2(removed, example.forward()) < 1e-5);
  CHECK(relative_l2(removed, without) > 1e-3);
}
