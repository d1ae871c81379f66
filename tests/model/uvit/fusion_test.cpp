// Two paths that are fused (SPRINT), written out.
#include "model/kernel_choice.h"
#include "model/network_options.h"
#include "model/uvit/uvit.h"
#include "model/weights.h"
#include "tests/model/thrown.h"
#include "tests/model/uvit/shaken_net.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::contains;
using uvic::test::inputs_of;
using uvic::test::refusal;
using uvic::test::relative_l2;
using uvic::test::shaken;

namespace {

UViTConfig fused_net(const char* attention = "softmax") {
  UViTConfig c;
  c.img_size = 8, c.embed_dim = 32, c.depth = 4, c.num_heads = 4, c.num_classes = 3;
  c.attention = attention, c.placement = "inner", c.fusion = 1;
  return c;
}

/// Blocks that hand on their input.
void still(UViT& net, std::initializer_list<const char*> blocks) {
  const torch::NoGradGuard no_grad;
  for (const auto& item : net->named_parameters())
    for (const auto* block : blocks)
      for (const char* part : {".attn.proj", ".mlp.fc2"})
        if (item.key().rfind(std::string(block) + part, 0) == 0)
          torch::Tensor(item.value()).zero_();
}

const torch::Tensor kKept = torch::stack({torch::arange(0, 16, 4), torch::arange(3, 16, 4)});

TokenRoute route_of(const torch::Tensor& kept, std::initializer_list<bool> dropped = {}) {
  TokenRoute route;
  route.kept = kept, route.margin = 1;
  if (dropped.size() > 0) {
    route.dropped = torch::zeros({static_cast<int64_t>(dropped.size())}, torch::kBool);
    int64_t i = 0;
    for (const bool one : dropped) route.dropped[i++] = one;
  }
  return route;
}

}  // namespace

TEST_CASE("fusion: [deep or mask, shallow] W^T + b for each patch, in float64", "[fusion]") {
  auto c = fused_net();
  c.skip = false;
  auto net = shaken(c, torch::kFloat64);
  // The path adds 0.5 to each token that it sees, and the last block hands on what was fused.
  still(net, {"in_blocks.1", "mid_block", "out_blocks.0", "out_blocks.1"});
  torch::Tensor(net->named_parameters()["mid_block.mlp.fc2.bias"]).detach().fill_(0.5);
  const torch::NoGradGuard no_grad;
  const auto in = inputs_of(2, torch::kFloat64);
  const auto w = net->fusion->weight, b = net->fusion->bias, mask = net->mask_token[0][0];
  const auto check = [&](const TokenRoute& route, const auto& sees) {
    BlockOutputs outputs{{0, 4}};
    net->forward_routed(in.x, in.t, in.y, route, &outputs);
    const auto &shallow = outputs.tokens[0], &fused = outputs.tokens[1];
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t p = 0; p < 16; ++p) {
        CAPTURE(i, p);
        const auto deep = sees(i, p) ? shallow[i][p] + 0.5 : mask;
        const auto expected = w.slice(1, 0, 32).mv(deep) + w.slice(1, 32).mv(shallow[i][p]) + b;
        CHECK(relative_l2(fused[i][p], expected) < 1e-12);
      }
  };
  check(route_of(kKept), [](int64_t i, int64_t p) { return p % 4 == (i == 0 ? 0 : 3); });
  check(route_of(kKept, {false, true}), [](int64_t i, int64_t p) { return i == 0 && p % 4 == 0; });
  check(route_of({}), [](int64_t, int64_t) { return true; });
  check(route_of({}, {true, false}), [](int64_t i, int64_t) { return i == 1; });
}

TEST_CASE("fusion: examples don't mix, and a dropped path is not seen at all", "[fusion]") {
  for (const char* attention : {"softmax", "cog"})
    for (const bool rope : {false, true}) {
      auto c = fused_net(attention);
      c.rope = c.value_residual = rope;
      auto net = shaken(c);
      const torch::NoGradGuard no_grad;
      const auto in = inputs_of(2);
      const auto route = route_of(kKept, {false, true});
      const auto both = net->forward_routed(in.x, in.t, in.y, route);
      for (int64_t i = 0; i < 2; ++i) {
        const auto of = [i](const torch::Tensor& t) { return t.slice(0, i, i + 1); };
        TokenRoute own;
        own.kept = of(route.kept), own.margin = 1, own.dropped = of(route.dropped);
        CHECK(relative_l2(net->forward_routed(of(in.x), of(in.t), of(in.y), own), of(both)) < 1e-5);
      }
      for (const auto& item : net->named_parameters())
        if (item.key().rfind("mid_block", 0) == 0) torch::Tensor(item.value()).mul_(1.5);
      const auto other = net->forward_routed(in.x, in.t, in.y, route);
      CHECK(relative_l2(other[0], both[0]) > 1e-4);
      CHECK(torch::equal(other[1], both[1]));
    }
}

TEST_CASE("fusion: sampling sees all patches, an image alone as in its batch", "[fusion]") {
  auto net = shaken(fused_net("cog"));
  const torch::NoGradGuard no_grad;
  const auto in = inputs_of(3);
  const auto out = net->forward(in.x, in.t, in.y);
  const auto every = torch::arange(16).expand({3, 16});
  CHECK(relative_l2(net->forward_routed(in.x, in.t, in.y, route_of(every)), out) < 1e-5);
  CHECK(relative_l2(net->forward_routed(in.x, in.t, in.y, route_of({})), out) < 1e-5);
  CHECK_FALSE(net->is_batch_invariant());
  for (int64_t i = 0; i < 3; ++i) {
    const auto of = [i](const torch::Tensor& t) { return t.slice(0, i, i + 1); };
    CHECK(torch::equal(net->forward(of(in.x), of(in.t), of(in.y)), of(out)));
  }
}

TEST_CASE("fusion: gradients of every parameter are those of plain code in float64", "[fusion]") {
  const auto gradients = [](UViTConfig c, torch::Dtype dtype, torch::Dtype compute) {
    auto net = shaken(c, dtype);
    net->set_compute_dtype(compute);
    const auto in = inputs_of(2, dtype);
    net->forward_routed(in.x, in.t, in.y, route_of(kKept, {false, true}))
        .square()
        .mean()
        .backward();
    std::map<std::string, torch::Tensor> all;
    for (const auto& item : net->named_parameters()) all[item.key()] = item.value().grad();
    return all;
  };
  use_fused_kernels(false);
  const auto expected = gradients(fused_net(), torch::kFloat64, torch::kFloat64);
  use_fused_kernels(true);
  auto recomputed = fused_net();
  recomputed.use_checkpoint = true;
  for (const auto& c : {fused_net(), recomputed})
    for (const auto& [compute, tolerance] :
         {std::pair(torch::kFloat32, 1e-4), {torch::kBFloat16, 0.06}}) {
      const auto found = gradients(c, torch::kFloat32, compute);
      for (const auto& [name, gradient] : expected) {
        INFO(name << " " << c10::toString(compute));
        REQUIRE(gradient.defined());
        CHECK(relative_l2(found.at(name), gradient) < tolerance);
      }
    }
  // The mask token has a gradient, zero, where no path is dropped and no patch bypasses.
  auto net = shaken(fused_net());
  const auto in = inputs_of(2);
  net->forward_routed(in.x, in.t, in.y, route_of({}, {false, false})).square().mean().backward();
  REQUIRE(net->mask_token.grad().defined());
  CHECK(net->mask_token.grad().abs().max().item<float>() == 0);
}

TEST_CASE("fusion: new weights of the others are as without it; sizes, operations and guess",
          "[fusion]") {
  const auto c = fused_net();
  auto plain = c;
  plain.fusion = 0;
  torch::manual_seed(4);
  UViT with(c);
  torch::manual_seed(4);
  UViT without(plain);
  for (const auto& item : without->named_parameters())
    CHECK(torch::equal(item.value(), with->named_parameters()[item.key()]));
  CHECK(parameter_count(c) - parameter_count(plain) == 2 * 32 * 32 + 32 + 32);
  CHECK(hidden_parameter_count(c) - hidden_parameter_count(plain) == 2 * 32 * 32);
  CHECK(with->stacked_matrices("fusion.weight") == 1);
  CHECK(with->stacked_matrices("mask_token") == 0);

  NetworkConfig of_c, of_plain;
  of_c.uvit = c, of_plain.uvit = plain;
  const double dim = 32, tokens = 18;
  CHECK(forward_flops(of_c) - forward_flops(of_plain) == Approx(2 * tokens * 2 * dim * dim));
  // A quarter of 16 patches and 2 extra tokens in the three blocks of the path.
  const auto block = [&](double n) { return 2 * (n * 12 * dim * dim + 2 * n * n * dim); };
  CHECK(forward_flops(of_c) - forward_flops(of_c, {0.25, 1}) ==
        Approx(3 * (block(18) - block(6)) + 2 * (18 - 6) * 2 * dim * dim));
  CHECK(forward_flops(of_plain, {1, 0, 2}) == Approx(2 * 16 * 12 * dim + 2 * block(18)));
  CHECK(image_fusion(of_c) == 1);

  auto wide = c;
  wide.embed_dim = 64, wide.num_heads = 1, wide.depth = 6, wide.fusion = 2;
  UViT net(wide);
  const auto guess = guess_config(named_weights(*net), {}, "x.pth");
  CHECK(guess.config.uvit.fusion == 2);
  CHECK(guess.assumed[1].find("fusion = 2") == 0);
}

TEST_CASE("fusion: what has no meaning is refused", "[fusion]") {
  auto c = fused_net();
  c.fusion = 3;
  CHECK(contains(refusal([&] { c.validate(); }), "model.fusion 3: leaves none of the 5 blocks"));
  UViT net(fused_net());
  const auto in = inputs_of(2);
  auto route = route_of(kKept);
  route.margin = 2;
  CHECK(contains(refusal([&] { net->forward_routed(in.x, in.t, in.y, route); }),
                 "model.fusion joins the paths 1 blocks from either end; give 1"));
  CHECK(contains(refusal([&] { net->forward_routed(in.x, in.t, in.y, route_of(kKept, {true})); }),
                 "the dropped paths of a route are [1], wanted bool [2]"));
  auto plain = fused_net();
  plain.fusion = 0;
  UViT without(plain);
  CHECK(contains(refusal([&] {
                   without->forward_routed(in.x, in.t, in.y, route_of(kKept, {true, false}));
                 }),
                 "and a fusion"));
}
