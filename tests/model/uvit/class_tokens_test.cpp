// Class tokens, the patch bottleneck and what a network is told of changed images.
#include <algorithm>

#include "model/attention/probe.h"
#include "model/augment_scope.h"
#include "model/kernel_choice.h"
#include "model/parameter_sizes.h"
#include "model/uvit/uvit.h"
#include "model/weight_transfer.h"
#include "model/weights.h"
#include "tests/model/thrown.h"
#include "tests/model/uvit/shaken_net.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::AllClose;
using uvic::test::contains;
using uvic::test::inputs_of;
using uvic::test::NetInputs;
using uvic::test::refusal;
using uvic::test::relative_l2;
using uvic::test::shaken;

namespace {

UViTConfig class_token_net(int64_t from, const char* attention = "cog") {
  UViTConfig c;
  c.img_size = 8, c.embed_dim = 32, c.depth = 4, c.num_heads = 4, c.num_classes = 3;
  c.attention = attention, c.placement = "inner";
  c.class_tokens = 5, c.class_tokens_from = from;
  return c;
}

/// The network, block by block: class tokens are put before the others in block `from`, and taken
/// away after as many blocks from the end.
torch::Tensor by_hand(UViT& net, const NetInputs& in) {
  const auto& c = net->config();
  const auto label = net->label_emb->forward(in.y).unsqueeze(1);
  auto h = torch::cat({label,
                       timestep_embedding(in.t, c.embed_dim).to(in.x.scalar_type()).unsqueeze(1),
                       net->patch_embed->forward(in.x)},
                      1) +
           net->pos_embed;
  const auto classes = label.repeat({1, c.class_tokens, 1}) + net->class_pos_embed;
  BlockCall call;
  call.compute = in.x.scalar_type();
  std::vector<torch::Tensor> skips;
  for (int64_t i = 0; i < c.depth / 2; ++i) {
    if (i == c.class_tokens_from) h = torch::cat({classes, h}, 1);
    h = net->in_blocks[i]->as<BlockImpl>()->forward(h, {}, call);
    skips.push_back(h);
  }
  if (c.class_tokens_from == c.depth / 2) h = torch::cat({classes, h}, 1);
  h = net->mid_block->forward(h, {}, call);
  for (int64_t i = 0; i < c.depth / 2; ++i) {
    const auto& partner = skips[static_cast<size_t>(c.depth / 2 - 1 - i)];
    if (h.size(1) > partner.size(1)) h = h.slice(1, c.class_tokens);
    h = net->out_blocks[i]->as<BlockImpl>()->forward(h, partner, call);
  }
  const auto patches = net->norm->forward(h.slice(1, h.size(1) - c.patches()), in.x.scalar_type());
  return net->final_layer->forward(unpatchify(net->decoder_pred->forward(patches), 3));
}

/// Sees how many tokens each block has.
struct TokenCounter : AttentionProbe {
  std::map<int64_t, int64_t> tokens;
  bool sees() const override { return true; }
  void see(const BlockView& view) override { tokens[view.layer] = view.tokens.size(1); }
};

}  // namespace

TEST_CASE("class tokens: the network is that of its definition, in float64", "[class_tokens]") {
  for (const int64_t from : {0, 1, 2})
    for (const char* attention : {"cog", "softmax"}) {
      auto net = shaken(class_token_net(from, attention), torch::kFloat64);
      const auto in = inputs_of(3, torch::kFloat64);
      INFO(attention << " from block " << from);
      CHECK(relative_l2(net->forward(in.x, in.t, in.y), by_hand(net, in)) < 1e-12);
    }
}

TEST_CASE("class tokens: the blocks that see them lie around the middle one", "[class_tokens]") {
  auto net = shaken(class_token_net(1));
  const auto in = inputs_of(1);
  TokenCounter counter;
  const ProbeScope scope(&counter);
  const torch::NoGradGuard no_grad;
  net->forward(in.x, in.t, in.y);
  // 16 patches, time, label; 5 more in the blocks 1 to 3 of 0 to 4.
  CHECK(counter.tokens == std::map<int64_t, int64_t>{{0, 18}, {1, 23}, {2, 23}, {3, 23}, {4, 18}});
}

TEST_CASE("class tokens: with rotations, routes and recomputing nothing changes",
          "[class_tokens]") {
  const auto in = inputs_of(2, torch::kFloat64);
  for (const int64_t from : {0, 1, 2}) {
    auto c = class_token_net(from);
    c.rope = true;
    auto net = shaken(c, torch::kFloat64);
    const auto plain = net->forward(in.x, in.t, in.y);
    // All patches are kept.
    TokenRoute route{torch::arange(16).expand({2, 16}), 0};
    for (const int64_t margin : {0, 1}) {
      route.margin = margin;
      INFO("from block " << from << ", margin " << margin);
      CHECK(relative_l2(net->forward_routed(in.x, in.t, in.y, route), plain) < 1e-12);
      TokenRoute few{torch::tensor({{1, 5, 6}, {0, 3, 15}}), margin};
      CHECK(net->forward_routed(in.x, in.t, in.y, few).isfinite().all().item<bool>());
    }
    plain.square().sum().backward();
    c.use_checkpoint = true;
    auto again = shaken(c, torch::kFloat64);
    again->forward(in.x, in.t, in.y).square().sum().backward();
    CHECK(relative_l2(again->class_pos_embed.grad(), net->class_pos_embed.grad()) < 1e-12);
    CHECK(net->class_pos_embed.grad().abs().min().item<double>() > 0);
  }
}

TEST_CASE("class tokens: an image does not see its batch, and bf16 is near", "[class_tokens]") {
  for (const bool rope : {false, true}) {
    auto c = class_token_net(1);
    c.rope = rope;
    auto net = shaken(c);
    const auto in = inputs_of(4);
    const torch::NoGradGuard no_grad;
    const auto whole = net->forward(in.x, in.t, in.y);
    for (int64_t i = 0; i < 4; ++i)
      CHECK(torch::equal(
          net->forward(in.x.narrow(0, i, 1), in.t.narrow(0, i, 1), in.y.narrow(0, i, 1)),
          whole.narrow(0, i, 1)));
    net->set_compute_dtype(torch::kBFloat16);
    CHECK(relative_l2(net->forward(in.x, in.t, in.y), whole) < 0.05);
  }
}

TEST_CASE("class tokens, bottleneck, told changes: counted, guessed and moved", "[class_tokens]") {
  NetworkConfig config;
  auto& c = config.uvit;
  c = class_token_net(1, "softmax");
  c.placement = "none", c.embed_dim = 128, c.num_heads = 2;
  c.patch_bottleneck = 7, c.augment_dim = 9;
  UViT net(c);
  const auto tensors = named_weights(*net);
  int64_t total = 0;
  for (const auto& [name, tensor] : tensors) total += tensor.numel();
  CHECK(parameter_count(config) == total);
  std::vector<int64_t> counted, real;
  for (const auto& one : parameter_sizes(config)) counted.push_back(one.elements);
  for (const auto& item : net->named_parameters()) real.push_back(item.value().numel());
  std::sort(counted.begin(), counted.end()), std::sort(real.begin(), real.end());
  CHECK(counted == real);
  const auto guess = guess_config(tensors, {}, "w.pth");
  CHECK(guess.config.uvit.class_tokens == 5);
  CHECK(guess.config.uvit.class_tokens_from == 2);  // 4, which this depth does not have
  CHECK(guess.config.uvit.patch_bottleneck == 7);
  CHECK(guess.config.uvit.augment_dim == 9);
  CHECK(guess.config.uvit.embed_dim == 128);
  CHECK(std::any_of(guess.assumed.begin(), guess.assumed.end(), [](const auto& text) {
    return text.find("class_tokens_from = 2") == 0;
  }));

  // From a network with one label token.
  NetworkConfig before = config;
  before.uvit.class_tokens = before.uvit.patch_bottleneck = before.uvit.augment_dim = 0;
  const auto moved =
      transfer_weights({named_weights(*UViT(before.uvit)), before, config, tensors, {0, 1, 2}});
  CHECK(moved.tensors.size() == tensors.size());
  CHECK(torch::equal(moved.tensors.at("class_pos_embed"), tensors.at("class_pos_embed")));
  CHECK(std::count_if(moved.warnings.begin(), moved.warnings.end(), [](const auto& text) {
          return text.find("class_tokens is 5") != std::string::npos ||
                 text.find("patch_bottleneck is 7") != std::string::npos ||
                 text.find("augment_dim is 9") != std::string::npos;
        }) == 3);
  auto elsewhere = config;
  elsewhere.uvit.class_tokens_from = 2;
  CHECK_FALSE(same_network(config, elsewhere));
  elsewhere.uvit.class_tokens = before.uvit.class_tokens = 0;
  elsewhere.uvit.patch_bottleneck = elsewhere.uvit.augment_dim = 0;
  CHECK(same_network(before, elsewhere));

  // 2 (5 tokens in 3 of 5 blocks): by their definitions.
  const double dim = 128, mlp = 2 * dim * 4 * dim;
  const auto block = [&](double n) { return n * (4 * dim * dim + mlp) + 2 * n * n * dim; };
  const double expected = 2 * (2 * block(18) + 3 * block(23) + (18 + 23) * 2 * dim * dim +
                               16 * (12 * 7 + 7 * dim + 12 * dim) + 9.0 * 3 * 3 * 64);
  CHECK(forward_flops(config) == Approx(expected).epsilon(1e-12));
}

TEST_CASE("class tokens: what has no meaning is refused", "[class_tokens]") {
  auto c = class_token_net(3);
  CHECK(contains(refusal([&] { c.validate(); }), "class_tokens_from 3: the middle block is 2"));
  c = class_token_net(1), c.num_classes = -1;
  CHECK(contains(refusal([&] { c.validate(); }), "without classes"));
  c = class_token_net(1), c.value_residual = true;
  CHECK(contains(refusal([&] { c.validate(); }), "value_residual compares the values"));
  c.class_tokens_from = 0;
  CHECK_NOTHROW(c.validate());
  auto net = shaken(c);
  const auto in = inputs_of(2);
  net->forward(in.x, in.t, in.y).sum().backward();
  CHECK(net->class_pos_embed.grad().isfinite().all().item<bool>());
  c = class_token_net(1, "elliptical");
  CHECK(contains(refusal([&] { c.validate(); }), "attention elliptical compares the values"));
}

TEST_CASE("patch bottleneck: a token is two products of its patch, in float64", "[bottleneck]") {
  torch::manual_seed(3);
  PatchEmbed narrow(2, 3, 16, 5);
  narrow->to(torch::kFloat64);
  CHECK(narrow->proj->weight.sizes() == torch::IntArrayRef({5, 3, 2, 2}));
  CHECK_FALSE(narrow->proj->bias.defined());
  const auto x = torch::randn({2, 3, 8, 8}, torch::kFloat64);
  const auto within = torch::conv2d(x, narrow->proj->weight, {}, 2);  // [2, 5, 4, 4]
  const auto expected =
      torch::conv2d(within, narrow->proj2->weight.unsqueeze(-1).unsqueeze(-1), narrow->proj2->bias);
  CHECK_THAT(narrow->forward(x), AllClose(expected.flatten(2).transpose(1, 2), 1e-12, 1e-12));
  // Fresh tokens are as large as those of one product, whose standard deviation over weights is
  // sqrt(1 / 3): uniform weights within 1 / sqrt(inputs).
  PatchEmbed wide(2, 3, 512, 128), published(2, 3, 512);
  const auto many = torch::randn({16, 3, 32, 32});
  CHECK(wide->forward(many).std().item<double>() ==
        Approx(published->forward(many).std().item<double>()).epsilon(0.15));
}

TEST_CASE("told changes: their product is added to the time, and none are zeros", "[augment]") {
  auto c = class_token_net(1, "softmax");
  c.class_tokens = 0, c.augment_dim = 9;
  auto net = shaken(c);
  const auto in = inputs_of(2);
  const auto plain = net->forward(in.x, in.t, in.y);
  {
    const AugmentScope told(torch::zeros({2, 9}));
    CHECK(torch::equal(net->forward(in.x, in.t, in.y), plain));
  }
  const auto numbers = torch::randn({2, 9});
  torch::Tensor changed;
  {
    const AugmentScope told(numbers);
    changed = net->forward(in.x, in.t, in.y);
    CHECK(relative_l2(changed, plain) > 1e-3);
    const AugmentScope none({});
    CHECK(torch::equal(net->forward(in.x, in.t, in.y), plain));
  }
  CHECK(torch::equal(net->forward(in.x, in.t, in.y), plain));
  // The same as a time token that is moved so far: for one image by its position.
  const AugmentScope told(numbers.slice(0, 0, 1));
  const auto one = net->forward(in.x.slice(0, 0, 1), in.t.slice(0, 0, 1), in.y.slice(0, 0, 1));
  const AugmentScope none({});
  {
    const torch::NoGradGuard no_grad;
    net->pos_embed.select(1, 1).add_(numbers[0].unsqueeze(0).mm(net->augment_embed->weight.t()));
  }
  CHECK(relative_l2(net->forward(in.x.slice(0, 0, 1), in.t.slice(0, 0, 1), in.y.slice(0, 0, 1)),
                    one) < 1e-5);
}
