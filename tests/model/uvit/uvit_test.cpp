#include "model/uvit/uvit.h"

#include <torch/optim/adamw.h>

#include <set>

#include "model/kernel_choice.h"
#include "tests/model/thrown.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::AllClose;
using uvic::test::contains;
using uvic::test::refusal;
using uvic::test::relative_l2;

namespace {

UViTConfig tiny() {
  UViTConfig c;
  c.img_size = 8, c.embed_dim = 32, c.depth = 2, c.num_heads = 4;
  return c;
}

/// The message with which validate() refuses tiny() after `change`.
template <class Change>
std::string refused(Change&& change) {
  auto c = tiny();
  change(c);
  return refusal([&] { c.validate(); });
}

}  // namespace

TEST_CASE("uvit: a few steps of descent lower the loss", "[uvit]") {
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16})
    for (const char* attention : {"softmax",
                                  "cog",
                                  "expressive",
                                  "elliptical",
                                  "extensive",
                                  "softmax_one",
                                  "gated",
                                  "differential"}) {
      INFO(attention << ' ' << c10::toString(dtype));
      torch::manual_seed(0);
      auto c = tiny();
      c.num_classes = 3, c.attention = attention, c.placement = "all";
      UViT net(c);
      net->set_compute_dtype(dtype);
      const auto x = torch::randn({4, 3, 8, 8}), t = torch::rand({4}) * 999,
                 y = torch::randint(3, {4});
      torch::optim::AdamW optimizer(net->parameters(), torch::optim::AdamWOptions(1e-2));
      double first = 0, last = 0;
      for (int i = 0; i < 8; ++i) {
        const auto loss = (net->forward(x, t, y) - x).square().mean();
        optimizer.zero_grad();
        loss.backward();
        optimizer.step();
        (i ? last : first) = loss.item<double>();
      }
      CHECK(last < 0.9 * first);
    }
}

TEST_CASE("uvit: parameters carry the official names in the official order", "[uvit]") {
  auto c = tiny();
  c.num_classes = 3, c.mlp_time_embed = true, c.qkv_bias = true;
  std::vector<std::string> expected = {
      "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"};
  const auto linear = [&](const std::string& name) {
    expected.push_back(name + ".weight");
    expected.push_back(name + ".bias");
  };
  linear("time_embed.0"), linear("time_embed.2");
  expected.push_back("label_emb.weight");
  for (const char* block : {"in_blocks.0.", "mid_block.", "out_blocks.0."})
    for (const char* part : {"norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"})
      linear(std::string(block) + part);
  linear("out_blocks.0.skip_linear"), linear("norm"), linear("decoder_pred"), linear("final_layer");
  UViT net(c);
  CHECK(net->named_parameters().keys() == expected);
}

TEST_CASE("uvit: fresh weights follow the published initialisation", "[uvit]") {
  torch::manual_seed(0);
  auto c = tiny();
  c.embed_dim = 128;
  UViT net(c);
  for (const auto& item : net->named_parameters()) {
    INFO(item.key());
    const auto& p = item.value();
    const bool convolution =
        item.key().find("proj.") == 12 || item.key().rfind("final_layer", 0) == 0;
    if (convolution) continue;
    if (p.dim() > 1)
      CHECK(p.std().item<double>() == Approx(0.02).epsilon(0.05));
    else
      CHECK_THAT(p,
                 AllClose(torch::full_like(p,
                                           item.key().find("norm") != std::string::npos &&
                                               item.key().find("weight") != std::string::npos),
                          0,
                          0));
  }
}

TEST_CASE("uvit: scaled initial weights keep the variance of a product and encode every position",
          "[uvit]") {
  UViTConfig config;
  config.img_size = 32;
  config.patch_size = 4;
  config.embed_dim = 128;
  config.depth = 2;
  config.num_heads = 4;
  config.num_classes = 11;
  config.init = "scaled";
  torch::manual_seed(0);
  UViT net(config);
  const auto named = net->named_parameters();
  for (const auto* name : {"in_blocks.0.attn.qkv.weight", "out_blocks.0.skip_linear.weight"}) {
    const auto& weight = named[name];
    CHECK(weight.std().item<double>() * std::sqrt(static_cast<double>(weight.size(1))) ==
          Approx(1).epsilon(0.03));
  }
  CHECK(named["mid_block.mlp.fc1.bias"].abs().max().item<double>() == 0);
  // A patch's position is nearest to itself and of unit mean square on its sines and cosines.
  const auto places = net->pos_embed.slice(1, 2)[0];  // [64, 128]
  CHECK(places.square().mean().item<double>() == Approx(0.5).epsilon(0.02));
  CHECK(torch::equal(places.matmul(places.t()).argmax(1), torch::arange(64)));
  CHECK(net->pos_embed.slice(1, 0, 2).std().item<double>() == Approx(0.02).epsilon(0.2));
}

TEST_CASE("timestep_embedding: cosines first, then sines, period 2 pi to 10000 times that",
          "[uvit]") {
  // dim 4: frequencies 1 and 10000^(-1/2) = 0.01
  const auto expected =
      torch::tensor({std::cos(50.), std::cos(0.5), std::sin(50.), std::sin(0.5)}).view({1, 4});
  CHECK_THAT(timestep_embedding(torch::tensor({50.}, torch::kFloat64), 4),
             AllClose(expected, 0, 1e-5));
  CHECK(timestep_embedding(torch::tensor({50}), 4).scalar_type() == torch::kFloat32);
  CHECK(timestep_embedding(torch::tensor({50.}), 5)[0][4].item<float>() == 0);
}

TEST_CASE("patches: cutting with an identity projection and putting together gives the image back",
          "[uvit]") {
  PatchEmbed embed(2, 3, 12);
  torch::NoGradGuard no_grad;
  // Row (p1 p2 C) of the output picks input (C p1 p2).
  embed->proj->weight.copy_(torch::eye(12).view({3, 2, 2, 12}).permute({3, 0, 1, 2}));
  embed->proj->weight.copy_(
      embed->proj->weight.view({3, 2, 2, 12}).permute({1, 2, 0, 3}).reshape({12, 3, 2, 2}));
  embed->proj->bias.zero_();
  const auto x = torch::randn({2, 3, 8, 8});
  CHECK_THAT(unpatchify(embed->forward(x), 3), AllClose(x, 0, 1e-6));
}

TEST_CASE("patches: the product is the official convolution of stride p", "[uvit]") {
  PatchEmbed embed(4, 3, 20);
  const auto x = torch::randn({2, 3, 8, 8});
  CHECK_THAT(embed->forward(x),
             AllClose(embed->proj->forward(x).flatten(2).transpose(1, 2), 1e-5, 1e-6));
}

TEST_CASE(
    "uvit: without gradients an image's prediction is the same in any batch, on any number of "
    "threads, bit for bit",
    "[uvit]") {
  torch::manual_seed(0);
  const int before = at::get_num_threads();
  for (const char* attention : {"softmax", "cog", "expressive", "elliptical"})
    for (const auto dtype : {torch::kFloat32, torch::kBFloat16})
      for (const bool fused : {true, false}) {
        INFO(attention << ' ' << c10::toString(dtype) << (fused ? " fused" : " plain"));
        use_fused_kernels(fused);
        auto c = tiny();
        c.img_size = 16, c.embed_dim = 192, c.attention = attention, c.num_classes = 4,
        c.mlp_time_embed = true;
        UViT net(c);
        net->set_compute_dtype(dtype);
        torch::NoGradGuard no_grad;
        const auto x = torch::randn({7, 3, 16, 16}), t = torch::rand({7}) * 999,
                   y = torch::randint(4, {7});
        const auto together = net->forward(x, t, y);
        for (const int threads : {1, 2, 3}) {
          at::set_num_threads(threads);
          for (const int64_t size : {1, 2, 3})
            for (int64_t i = 0; i + size <= 7; ++i)
              CHECK(torch::equal(
                  net->forward(
                      x.slice(0, i, i + size), t.slice(0, i, i + size), y.slice(0, i, i + size)),
                  together.slice(0, i, i + size)));
          CHECK(torch::equal(together, net->forward(x, t, y)));
        }
        at::set_num_threads(before);
      }
  use_fused_kernels(true);
}

TEST_CASE("uvit: with and without gradients the prediction differs by rounding only", "[uvit]") {
  torch::manual_seed(0);
  UViT net(tiny());
  const auto x = torch::randn({5, 3, 8, 8}), t = torch::rand({5}) * 999;
  const auto training = net->forward(x, t);
  torch::NoGradGuard no_grad;
  CHECK(relative_l2(net->forward(x, t), training) < 1e-6);
}

TEST_CASE("uvit: the fused kernels and plain tensor code agree", "[uvit]") {
  torch::manual_seed(0);
  auto c = tiny();
  c.depth = 4;
  UViT net(c);
  const auto x = torch::randn({2, 3, 8, 8}), t = torch::rand({2}) * 999;
  const auto fused = net->forward(x, t);
  use_fused_kernels(false);
  const auto plain = net->forward(x, t);
  use_fused_kernels(true);
  CHECK(relative_l2(fused, plain) < 1e-6);
}

TEST_CASE("uvit: placement decides which blocks differ from U-ViT", "[uvit]") {
  const auto output = [](const char* attention, const char* placement) {
    torch::manual_seed(4);
    auto c = tiny();
    c.attention = attention, c.placement = placement;
    UViT net(c);
    torch::NoGradGuard no_grad;
    for (auto& p : net->parameters()) p.mul_(3);
    return net->forward(torch::ones({1, 3, 8, 8}), torch::zeros({1}));
  };
  CHECK(torch::equal(output("cog", "none"), output("softmax", "all")));
  CHECK(torch::equal(output("cog", "inner"), output("cog", "1")));
  CHECK_FALSE(torch::equal(output("cog", "inner"), output("cog", "all")));
  CHECK_FALSE(torch::equal(output("cog", "inner"), output("cog", "none")));
}

TEST_CASE("uvit: a network in float64 answers in float64", "[uvit]") {
  UViT net(tiny());
  net->to(torch::kFloat64);
  CHECK(
      net->forward(torch::zeros({1, 3, 8, 8}, torch::kFloat64), torch::zeros({1})).scalar_type() ==
      torch::kFloat64);
}

TEST_CASE("uvit: parameter_count agrees with the built network under every option", "[uvit]") {
  const auto check = [](const UViTConfig& c) {
    int64_t built = 0;
    for (const auto& p : UViT(c)->parameters()) built += p.numel();
    CHECK(parameter_count(c) == built);
  };
  check(tiny());
  auto c = tiny();
  c.num_classes = 7, c.qkv_bias = true, c.mlp_time_embed = true, c.mlp_ratio = 2.5, c.depth = 4;
  check(c);
  c = tiny();
  c.clip_dim = 9, c.num_clip_token = 3, c.skip = false, c.conv = false, c.patch_size = 4;
  check(c);
}

TEST_CASE("uvit: U-ViT-S/2 on CIFAR-10 has 44 million parameters and takes 24 GFLOP an image",
          "[uvit]") {
  const UViTConfig published;
  CHECK(parameter_count(published) == 44255328);
  CHECK(forward_flops(published, {}) == Approx(24.4e9).epsilon(0.01));
}

TEST_CASE("uvit: inputs that do not fit the config are refused with both shapes", "[uvit]") {
  UViT plain(tiny());
  const auto x = torch::zeros({2, 3, 8, 8}), t = torch::zeros({2});
  CHECK(contains(refusal([&] {
                   plain->forward(torch::zeros({2, 3, 16, 16}), t);
                 }),
                 "x is [2, 3, 16, 16], the config wants [batch, 3, 8, 8]"));
  CHECK(contains(refusal([&] { plain->forward(x[0], t); }), "x is [3, 8, 8]"));
  CHECK(contains(refusal([&] { plain->forward(x, torch::zeros({3})); }),
                 "timesteps is [3], wanted [2]"));
  CHECK(contains(refusal([&] { plain->forward(x, t, torch::zeros({2}, torch::kInt64)); }),
                 "unconditional"));
  auto c = tiny();
  c.num_classes = 4;
  UViT classes(c);
  CHECK(contains(refusal([&] { classes->forward(x, t); }), "labels are none"));
  CHECK(contains(refusal([&] { classes->forward(x, t, torch::tensor({0, 4})); }), "label 4"));
  CHECK(contains(refusal([&] { classes->forward(x, t, torch::tensor({-1, 3})); }), "label -1"));
  c = tiny();
  c.clip_dim = 6, c.num_clip_token = 5;
  UViT text(c);
  CHECK(contains(refusal([&] {
                   text->forward(x, t, torch::zeros({2, 6, 5}));
                 }),
                 "context is [2, 6, 5], wanted [2, 5, 6]"));
}

TEST_CASE("config: contradictions are refused with both values", "[uvit]") {
  CHECK(refused([](auto&) {}).empty());
  CHECK(refused([](auto& c) { c.img_size = 33; }) ==
        "model: img_size 33 is not a multiple of patch_size 2; change one of them");
  CHECK(refused([](auto& c) { c.num_heads = 5; }) ==
        "model: embed_dim 32 is not a multiple of num_heads 5; change one of them");
  CHECK(refused([](auto& c) { c.depth = 3; }) == "model: depth is 3; give an even number");
  CHECK(refused([](auto& c) { c.patch_size = 0; }) ==
        "--model.patch_size 0: give a number from 1 to 65536");
  CHECK(refused([](auto& c) { c.embed_dim = int64_t{1} << 40; }) ==
        "--model.embed_dim 1099511627776: give a number from 1 to 131072");
  CHECK(refused([](auto& c) { c.depth = INT64_MAX - 1; }) ==
        "--model.depth 9223372036854775806: give a number from 2 to 4096");
  CHECK(refused([](auto& c) { c.num_classes = 0; }) ==
        "model: num_classes is 0; give a positive number, or -1 for none");
  CHECK(contains(refused([](auto& c) { c.mlp_ratio = 0; }), "--model.mlp_ratio 0: give"));
  CHECK(contains(refused([](auto& c) { c.qk_scale = -1; }), "--model.qk_scale -1: give"));
  CHECK(contains(refused([](auto& c) { c.clip_dim = 768; }),
                 "clip_dim 768 and num_clip_token 0 disagree"));
  CHECK(contains(refused([](auto& c) { c.clip_dim = 8, c.num_clip_token = 2, c.num_classes = 3; }),
                 "not both"));
  CHECK(contains(refused([](auto& c) { c.attention = "cogg"; }), "unknown value \"cogg\""));
  CHECK(contains(refused([](auto& c) { c.placement = "5"; }), "5 does not exist; the last is 2"));
}

TEST_CASE("config: every option is listed once", "[uvit]") {
  std::set<std::string> names;
  UViTConfig().fields([&](const char* name, auto&, const uvic::base::Field& field) {
    CHECK(names.insert(name).second);
    CHECK(field.text().size() > 5);
  });
  CHECK(names.size() == 31);
}
