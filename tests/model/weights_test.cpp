#include "model/weights.h"
#include "model/uvit/uvit.h"

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>

#include <fmt/format.h>

#include "tests/model/thrown.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::contains;
using uvic::test::refusal;

namespace {

UViTConfig one_head() {
  UViTConfig c;
  c.img_size = 8, c.embed_dim = 64, c.depth = 4, c.num_heads = 1;
  return c;
}

NamedTensors copies(const torch::nn::Module& module) {
  auto tensors = named_weights(module);
  for (auto& [name, tensor] : tensors) tensor = tensor.clone();
  return tensors;
}

}  // namespace

TEST_CASE("weights: what is taken from one network makes another give its output", "[weights]") {
  UViT a(one_head()), b(one_head());
  load_weights(*b, copies(*a), "a.pth");
  const auto x = torch::randn({2, 3, 8, 8}), t = torch::tensor({1.f, 500.f});
  torch::NoGradGuard no_grad;
  CHECK(torch::equal(a->forward(x, t), b->forward(x, t)));
}

TEST_CASE("weights: half-precision files fill a float32 network", "[weights]") {
  UViT a(one_head()), b(one_head());
  auto tensors = copies(*a);
  for (auto& [name, tensor] : tensors) tensor = tensor.to(torch::kHalf);
  load_weights(*b, tensors, "a.pth");
  CHECK(b->pos_embed.scalar_type() == torch::kFloat32);
  CHECK(torch::equal(b->pos_embed, tensors.at("pos_embed").to(torch::kFloat32)));
}

TEST_CASE("weights: every mismatch is told at once, and nothing is loaded", "[weights]") {
  UViT net(one_head());
  const auto before = copies(*net);
  auto tensors = copies(*net);
  tensors.at("pos_embed").fill_(7);
  tensors.at("in_blocks.0.attn.qkv.weight") = torch::zeros({384, 128});
  tensors.erase("norm.bias");
  tensors["label_emb.weight"] = torch::zeros({10, 64});
  tensors.at("norm.weight") = torch::zeros({64}, torch::kInt64);
  CHECK(
      refusal([&] { load_weights(*net, tensors, "nnet_ema.pth"); }) ==
      "nnet_ema.pth: in_blocks.0.attn.qkv.weight is [384, 128], the model wants [192, 64]; "
      "norm.bias is missing, the model wants "
      "[64]; norm.weight is int64, the model wants float32; label_emb.weight [10, 64] is not part "
      "of the model; pass the config "
      "it was trained with");
  for (const auto& [name, tensor] : before)
    CHECK(torch::equal(tensor, named_weights(*net).at(name)));
  const auto all = before.size();
  const auto told = refusal([&] { load_weights(*net, {}, "nnet_ema.pth"); });
  CHECK(told.find(fmt::format("; and {} more; pass", all - 5)) != std::string::npos);
  CHECK(told.size() < 500);
}

TEST_CASE("guess_config: shapes give back the config that made them", "[weights]") {
  const auto check = [](const UViTConfig& wanted, size_t assumptions) {
    UViT net(wanted);
    const auto guess = guess_config(named_weights(*net), {}, "x.pth");
    UViTConfig got = guess.config.uvit;
    got.attention = wanted.attention, got.placement = wanted.placement;
    UViT again(got);
    load_weights(*again, named_weights(*net), "x.pth");
    CHECK(got.num_heads == wanted.num_heads);
    CHECK(got.img_size == wanted.img_size);
    CHECK(guess.assumed.size() == assumptions);
  };
  check(one_head(), 2);
  auto classes = one_head();
  classes.num_classes = 11, classes.conv = false, classes.mlp_ratio = 2, classes.patch_size = 4,
  classes.in_chans = 4;
  check(classes, 2);
  auto text = one_head();
  text.clip_dim = 24, text.num_clip_token = 77, text.skip = false, text.qkv_bias = true,
  text.mlp_time_embed = true;
  check(text, 3);
}

TEST_CASE("guess_config: tensors of something else are refused by what they lack", "[weights]") {
  torch::nn::Linear other(2, 2);
  CHECK(refusal([&] { guess_config(named_weights(*other), {}, "x.pth"); }) ==
        "x.pth: no patch_embed.proj.weight; these are not the weights of a U-ViT");
  UViT net(one_head());
  auto tensors = named_weights(*net);
  tensors["pos_embed"] = torch::zeros({1, 20, 64});
  CHECK(contains(refusal([&] { guess_config(tensors, {}, "x.pth"); }), "pos_embed has 20 tokens"));
  tensors = named_weights(*net);
  tensors.erase("mid_block.mlp.fc1.weight");
  CHECK(contains(refusal([&] { guess_config(tensors, {}, "x.pth"); }),
                 "no mid_block.mlp.fc1.weight"));
}
