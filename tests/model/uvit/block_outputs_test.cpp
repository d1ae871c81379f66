// Activations between blocks: what a loss of training reads, and the way of its gradient.
#include "model/kernel_choice.h"
#include "model/uvit/uvit.h"
#include "tests/model/thrown.h"
#include "tests/model/uvit/shaken_net.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::contains;
using uvic::test::inputs_of;
using uvic::test::NetInputs;
using uvic::test::refusal;
using uvic::test::relative_l2;
using uvic::test::shaken;

namespace {

UViTConfig small_net() {
  UViTConfig c;
  c.img_size = 8, c.embed_dim = 32, c.depth = 4, c.num_heads = 4, c.num_classes = 3;
  c.attention = "softmax";
  return c;
}

torch::Tensor output_of(UViT& net,
                        const NetInputs& in,
                        int64_t block,
                        const TokenRoute& route = {}) {
  BlockOutputs outputs{{block}};
  net->forward_routed(in.x, in.t, in.y, route, &outputs);
  return outputs.tokens.at(0);
}

}  // namespace

TEST_CASE("block outputs: the last block's are what norm and decoder turn into the prediction",
          "[outputs]") {
  auto net = shaken(small_net());
  const auto in = inputs_of(3);
  BlockOutputs outputs{{4, 1}};
  const auto prediction = net->forward_routed(in.x, in.t, in.y, {}, &outputs);
  REQUIRE(outputs.tokens.size() == 2);
  CHECK(outputs.tokens[1].sizes() == torch::IntArrayRef({3, 16, 32}));
  const auto image = unpatchify(
      net->decoder_pred->forward(net->norm->forward(outputs.tokens[0], torch::kFloat32)), 3);
  CHECK(relative_l2(net->final_layer->forward(image), prediction) < 1e-6);
  CHECK(relative_l2(prediction, net->forward(in.x, in.t, in.y)) < 1e-6);
}

TEST_CASE("block outputs: a block that does nothing hands on its input", "[outputs]") {
  auto net = shaken(small_net());
  {
    const torch::NoGradGuard no_grad;
    for (const auto& item : net->named_parameters())
      for (const char* part : {"in_blocks.1.attn.proj", "in_blocks.1.mlp.fc2"})
        if (item.key().rfind(part, 0) == 0) torch::Tensor(item.value()).zero_();
  }
  const auto in = inputs_of(2);
  CHECK(relative_l2(output_of(net, in, 1), output_of(net, in, 0)) < 1e-6);
  CHECK(relative_l2(output_of(net, in, 2), output_of(net, in, 1)) > 1e-2);
}

TEST_CASE("block outputs: on a route they are those of the kept patches", "[outputs]") {
  auto net = shaken(small_net());
  const auto in = inputs_of(2);
  const auto every = torch::arange(16).expand({2, 16}),
             kept = torch::stack({torch::arange(0, 16, 4), torch::arange(3, 16, 4)});
  for (const int64_t block : {0, 1, 2, 3, 4}) {
    CHECK(output_of(net, in, block, {kept, 1}).size(1) == (block == 0 || block == 4 ? 16 : 4));
    CHECK(relative_l2(output_of(net, in, block, {every, 1}), output_of(net, in, block)) < 1e-5);
  }
}

TEST_CASE("block outputs: their gradient goes through fused and recomputed blocks, in bf16 too",
          "[outputs]") {
  const auto in = inputs_of(2);
  const auto gradients = [](const UViTConfig& c, torch::Dtype dtype, torch::Dtype compute) {
    auto net = shaken(c, dtype);
    net->set_compute_dtype(compute);
    const auto own = inputs_of(2, dtype);
    BlockOutputs outputs{{1, 3}};
    const auto out = net->forward_routed(own.x, own.t, own.y, {}, &outputs);
    (out.square().mean() + outputs.tokens[0].pow(3).mean() + outputs.tokens[1].cos().mean())
        .backward();
    std::map<std::string, torch::Tensor> all;
    for (const auto& item : net->named_parameters()) all[item.key()] = item.value().grad();
    return all;
  };
  use_fused_kernels(false);
  const auto expected = gradients(small_net(), torch::kFloat64, torch::kFloat64);
  use_fused_kernels(true);
  auto recomputed = small_net();
  recomputed.use_checkpoint = true;
  for (const auto& c : {small_net(), recomputed})
    for (const auto& [compute, tolerance] :
         {std::pair(torch::kFloat32, 1e-4), {torch::kBFloat16, 0.05}}) {
      const auto found = gradients(c, torch::kFloat32, compute);
      for (const auto& [name, gradient] : expected) {
        INFO(name << " " << c10::toString(compute));
        CHECK(relative_l2(found.at(name), gradient) < tolerance);
      }
    }
  // A loss of one output alone has no gradient behind it.
  auto net = shaken(small_net());
  output_of(net, in, 1).pow(3).sum().backward();
  for (const auto& item : net->named_parameters()) {
    INFO(item.key());
    const bool before = item.key().rfind("in_blocks", 0) == 0 ||
                        item.key().find("embed") != std::string::npos ||
                        item.key().rfind("label_emb", 0) == 0;
    CHECK(item.value().grad().defined() == before);
  }
}

TEST_CASE("block outputs: alone, without what comes after the block", "[outputs]") {
  for (const bool rope : {false, true}) {
    auto c = small_net();
    c.rope = c.value_residual = rope, c.fusion = 1;
    auto net = shaken(c);
    const auto in = inputs_of(2);
    for (int64_t block = 0; block < 5; ++block) {
      const auto alone = net->block_output(in.x, in.t, in.y, block);
      CHECK_FALSE(alone.requires_grad());
      CHECK(relative_l2(alone, output_of(net, in, block)) < 1e-6);
    }
    CHECK(contains(refusal([&] { net->block_output(in.x, in.t, in.y, 5); }), "output of block 5"));
  }
}

TEST_CASE("block outputs: a block that is not there is refused", "[outputs]") {
  auto net = shaken(small_net());
  const auto in = inputs_of(1);
  CHECK(contains(refusal([&] { output_of(net, in, 5); }), "output of block 5"));
  CHECK(contains(refusal([&] { output_of(net, in, -1); }), "the blocks are 0 to 4"));
}
