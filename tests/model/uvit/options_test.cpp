// Parts of blocks other than the published ones, against their definitions in float64.
#include <algorithm>
#include <cmath>

#include <torch/optim/adamw.h>

#include "model/kernel_choice.h"
#include "model/rotary.h"
#include "model/uvit/uvit.h"
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

UViTConfig changed_net(const char* attention = "cog") {
  UViTConfig c;
  c.img_size = 8, c.embed_dim = 32, c.depth = 4, c.num_heads = 4, c.num_classes = 3;
  c.attention = attention, c.placement = "inner";
  return c;
}

UViTConfig all_options(const char* attention = "cog") {
  auto c = changed_net(attention);
  c.norm = "rms", c.mlp = "swiglu", c.qk_norm = true, c.rope = true, c.value_residual = true;
  return c;
}

torch::Tensor rms(const torch::Tensor& x, const torch::Tensor& weight) {
  return x / (x.pow(2).mean(-1, true) + 1e-6).sqrt() * weight;
}

/// The pairs (d, d + D / 2) of x [L, D] turned by the angles of its places, one number at a time.
torch::Tensor turned(const torch::Tensor& x, int64_t side, int64_t extras, double theta) {
  auto out = x.clone();
  const int64_t width = x.size(1), quarter = width / 4;
  for (int64_t token = extras; token < x.size(0); ++token)
    for (int64_t d = 0; d < width / 2; ++d) {
      const int64_t row = (token - extras) / side, column = (token - extras) % side;
      const double frequency =
          std::pow(theta, -static_cast<double>(d % quarter) / static_cast<double>(quarter));
      const double angle = static_cast<double>(d < quarter ? row : column) * frequency;
      const auto a = x[token][d], b = x[token][d + width / 2];
      out[token][d] = a * std::cos(angle) - b * std::sin(angle);
      out[token][d + width / 2] = b * std::cos(angle) + a * std::sin(angle);
    }
  return out;
}

/// One block with all options, written out. x [L, dim]; first: values of block 0, [H, L, D].
torch::Tensor block_by_hand(const std::map<std::string, torch::Tensor>& w,
                            const std::string& name,
                            torch::Tensor x,
                            const torch::Tensor& skip,
                            bool cog,
                            std::vector<torch::Tensor>& first) {
  const auto at = [&](const std::string& part) { return w.at(name + part); };
  if (skip.defined())
    x = torch::cat({x, skip}, -1).mm(at("skip_linear.weight").t()) + at("skip_linear.bias");
  const int64_t heads = 4, width = x.size(1) / heads;
  const auto qkv = rms(x, at("norm1.weight")).mm(at("attn.qkv.weight").t()).chunk(3, 1);
  std::vector<torch::Tensor> outputs, values;
  for (int64_t h = 0; h < heads; ++h) {
    const auto part = [&](int64_t i) { return qkv[i].slice(1, h * width, (h + 1) * width); };
    const auto q = turned(rms(part(0), at("attn.q_norm.weight")), 4, 2, 100),
               k = turned(rms(part(1), at("attn.k_norm.weight")), 4, 2, 100);
    auto v = part(2);
    values.push_back(v);
    if (!first.empty()) {
      const auto l = at("attn.v_residual");
      v = l * first[h] + (1 - l) * v;
    }
    const auto s = q.mm(k.t()) / std::sqrt(static_cast<double>(width));
    const auto weights = cog ? s.sign() * s.abs().softmax(-1) : s.softmax(-1);
    outputs.push_back(weights.mm(v));
  }
  if (first.empty()) first = values;
  x = x + torch::cat(outputs, 1).mm(at("attn.proj.weight").t()) + at("attn.proj.bias");
  const auto both =
      (rms(x, at("norm2.weight")).mm(at("mlp.w12.weight").t()) + at("mlp.w12.bias")).chunk(2, 1);
  const auto hidden = both[0] * both[0].sigmoid() * both[1];
  return x + hidden.mm(at("mlp.w3.weight").t()) + at("mlp.w3.bias");
}

/// The whole network with all options for one image, in float64.
torch::Tensor network_by_hand(UViT& net, const NetInputs& in) {
  std::map<std::string, torch::Tensor> w;
  for (const auto& item : net->named_parameters()) w[item.key()] = item.value().detach();
  const auto time = timestep_embedding(in.t, 32).to(torch::kFloat64);  // [1, 32]
  const auto patches = in.x[0]
                           .reshape({3, 4, 2, 4, 2})
                           .permute({1, 3, 0, 2, 4})
                           .reshape({16, 12})
                           .mm(w.at("patch_embed.proj.weight").flatten(1).t()) +
                       w.at("patch_embed.proj.bias");
  auto h =
      torch::cat({w.at("label_emb.weight")[in.y[0].item<int64_t>()].unsqueeze(0), time, patches}) +
      w.at("pos_embed")[0];
  std::vector<torch::Tensor> first, skips;
  h = block_by_hand(w, "in_blocks.0.", h, {}, false, first), skips.push_back(h);
  h = block_by_hand(w, "in_blocks.1.", h, {}, true, first), skips.push_back(h);
  h = block_by_hand(w, "mid_block.", h, {}, true, first);
  h = block_by_hand(w, "out_blocks.0.", h, skips[1], true, first);
  h = block_by_hand(w, "out_blocks.1.", h, skips[0], false, first);
  const auto tokens = rms(h, w.at("norm.weight")).slice(0, 2).mm(w.at("decoder_pred.weight").t()) +
                      w.at("decoder_pred.bias");
  const auto image = unpatchify(tokens.unsqueeze(0), 3);
  return torch::conv2d(image, w.at("final_layer.weight"), w.at("final_layer.bias"), 1, 1);
}

}  // namespace

TEST_CASE("uvit options: the network with all of them is what their papers define", "[options]") {
  auto net = shaken(all_options(), torch::kFloat64);
  const torch::NoGradGuard no_grad;
  const auto in = inputs_of(1, torch::kFloat64);
  const auto expected = network_by_hand(net, in);
  CHECK(relative_l2(net->forward(in.x, in.t, in.y), expected) < 1e-6);
  net->to(torch::kFloat32);
  const auto x = in.x.to(torch::kFloat32);
  CHECK(relative_l2(net->forward(x, in.t, in.y), expected) < 1e-4);
  net->set_compute_dtype(torch::kBFloat16);
  CHECK(relative_l2(net->forward(x, in.t, in.y), expected) < 0.1);
}

TEST_CASE("uvit options: gradients are those of float64 differences, with and without recomputing",
          "[options]") {
  // Not cog: its weights jump where a score changes sign, so differences have other limits.
  for (const char* attention : {"softmax", "gated", "differential"}) {
    INFO(attention);
    auto c = all_options(attention);
    auto net = shaken(c, torch::kFloat64);
    const auto in = inputs_of(2, torch::kFloat64);
    const auto loss = [&](UViT& of) { return of->forward(in.x, in.t, in.y).square().mean(); };
    loss(net).backward();
    torch::manual_seed(5);
    double slope = 0;
    std::vector<torch::Tensor> direction;
    for (const auto& p : net->parameters()) {
      REQUIRE(p.grad().defined());
      direction.push_back(torch::randn_like(p));
      slope += (p.grad() * direction.back()).sum().item<double>();
    }
    const double h = 1e-6;
    const auto moved = [&](double by) {
      const torch::NoGradGuard no_grad;
      const auto parameters = net->parameters();
      for (size_t i = 0; i < parameters.size(); ++i)
        torch::Tensor(parameters[i]).add_(direction[i], by);
    };
    moved(h);
    const double above = loss(net).item<double>();
    moved(-2 * h);
    const double below = loss(net).item<double>();
    moved(h);
    CHECK((above - below) / (2 * h) == Approx(slope).epsilon(1e-4));

    c.use_checkpoint = true;
    UViT again(c);
    again->to(torch::kFloat64);
    load_weights(*again, named_weights(*net), "net");
    loss(again).backward();
    const auto a = net->named_parameters(), b = again->named_parameters();
    for (const auto& item : a) {
      INFO(item.key());
      CHECK(relative_l2(b[item.key()].grad(), item.value().grad()) < 1e-9);
    }
  }
}

TEST_CASE("uvit options: each alone trains, in float32 and bfloat16, on every kind of attention",
          "[options]") {
  const auto set = [](UViTConfig c, int option) {
    if (option == 0) c.norm = "rms";
    if (option == 1) c.mlp = "swiglu";
    if (option == 2) c.qk_norm = true;
    if (option == 3) c.rope = true;
    if (option == 4) c.value_residual = true;
    return c;
  };
  for (const char* attention : {"cog", "elliptical"})
    for (int option = 0; option < 5; ++option)
      for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
        INFO(attention << " option " << option << ' ' << c10::toString(dtype));
        torch::manual_seed(0);
        UViT net(set(changed_net(attention), option));
        net->set_compute_dtype(dtype);
        const auto in = inputs_of(4);
        torch::optim::AdamW optimizer(net->parameters(), torch::optim::AdamWOptions(1e-2));
        double first = 0, last = 0;
        for (int i = 0; i < 8; ++i) {
          const auto loss = (net->forward(in.x, in.t, in.y) - in.x).square().mean();
          optimizer.zero_grad();
          loss.backward();
          optimizer.step();
          (i ? last : first) = loss.item<double>();
        }
        CHECK(last < 0.95 * first);
      }
}

TEST_CASE("uvit options: fused and plain kernels agree, and an image does not see its batch",
          "[options]") {
  for (const bool value_residual : {false, true}) {  // with it no block is computed whole
    INFO("value_residual " << value_residual);
    auto config = all_options();
    config.value_residual = value_residual;
    auto net = shaken(config);
    const auto in = inputs_of(3);
    const torch::NoGradGuard no_grad;
    const auto fused = net->forward(in.x, in.t, in.y);
    use_fused_kernels(false);
    const auto plain = net->forward(in.x, in.t, in.y);
    use_fused_kernels(true);
    CHECK(relative_l2(fused, plain) < 1e-4);
    if (value_residual) CHECK_FALSE(net->is_batch_invariant());
    CHECK(config.has_fused_blocks() == !value_residual);
    for (int64_t i = 0; i < 3; ++i) {
      const auto of = [i](const torch::Tensor& t) { return t.slice(0, i, i + 1); };
      CHECK(torch::equal(net->forward(of(in.x), of(in.t), of(in.y)), of(fused)));
    }
  }
}

TEST_CASE("uvit options: cog's fused gradient is that of plain tensor code in float64",
          "[options]") {
  auto narrow = shaken(all_options()), wide = shaken(all_options(), torch::kFloat64);
  const auto in = inputs_of(2);
  narrow->forward(in.x, in.t, in.y).square().mean().backward();
  wide->forward(in.x.to(torch::kFloat64), in.t, in.y).square().mean().backward();
  const auto a = narrow->named_parameters(), b = wide->named_parameters();
  for (const auto& item : a) {
    INFO(item.key());
    CHECK(relative_l2(item.value().grad(), b[item.key()].grad()) < 0.02);
  }
}

TEST_CASE("uvit options: rotated scores depend on the distance of rows and columns alone",
          "[options]") {
  const auto r = grid_rotations(5, 2, 16, 100);
  CHECK(r.cos.sizes() == torch::IntArrayRef({27, 8}));
  const auto q = torch::randn({1, 1, 1, 16}, torch::kFloat64).expand({1, 1, 27, 16}),
             k = torch::randn({1, 1, 1, 16}, torch::kFloat64).expand({1, 1, 27, 16});
  const auto scores = rotate(q, r).matmul(rotate(k, r).transpose(2, 3))[0][0];
  const auto at = [&](int64_t i, int64_t j, int64_t k, int64_t l) {
    return scores[2 + 5 * i + j][2 + 5 * k + l].item<double>();
  };
  CHECK(at(0, 0, 1, 2) == Approx(at(3, 1, 4, 3)).epsilon(1e-5));
  CHECK(at(4, 4, 2, 1) == Approx(at(2, 3, 0, 0)).epsilon(1e-5));
  CHECK(at(0, 0, 1, 2) != Approx(at(0, 0, 2, 1)).epsilon(1e-3));
  // Tokens before the grid are not turned.
  CHECK(torch::equal(rotate(q, r).slice(2, 0, 2), q.slice(2, 0, 2)));
}

TEST_CASE("uvit options: parameters are counted, guessed from shapes and named stably",
          "[options]") {
  const auto c = all_options();
  UViT net(c);
  int64_t built = 0;
  for (const auto& p : net->parameters()) built += p.numel();
  CHECK(parameter_count(c) == built);
  auto same_size = changed_net();
  same_size.embed_dim = 96, same_size.mlp = "swiglu";
  auto published = same_size;
  published.mlp = "gelu";
  const double more = static_cast<double>(parameter_count(same_size) - parameter_count(published));
  CHECK(more / static_cast<double>(parameter_count(published)) == Approx(0).margin(0.002));
  CHECK(forward_flops(same_size, {}) == Approx(forward_flops(published, {})).epsilon(1e-3));

  ShapeHints hints;
  hints.num_heads = c.num_heads, hints.attention = "cog";
  const auto guess = guess_config(named_weights(*net), hints, "x.pth");
  CHECK(guess.config.uvit.norm == "rms");
  CHECK(guess.config.uvit.mlp == "swiglu");
  CHECK(guess.config.uvit.mlp_hidden() == c.mlp_hidden());
  CHECK(guess.config.uvit.qk_norm);
  CHECK(guess.config.uvit.value_residual);
  CHECK(guess.assumed.back().find("rope = false") == 0);
  const auto names = net->named_parameters().keys();
  for (const char* name : {"mid_block.attn.q_norm.weight",
                           "mid_block.attn.k_norm.weight",
                           "mid_block.attn.v_residual",
                           "mid_block.mlp.w12.weight",
                           "mid_block.mlp.w3.bias",
                           "norm.weight"})
    CHECK(std::count(names.begin(), names.end(), name) == 1);
  for (const char* name : {"norm.bias", "mid_block.mlp.fc1.weight", "in_blocks.0.attn.v_residual"})
    CHECK(std::count(names.begin(), names.end(), name) == 0);
}

TEST_CASE("uvit options: a rotation needs a width of fours, and off its theta means nothing",
          "[options]") {
  auto c = changed_net();
  c.embed_dim = 24, c.rope = true;
  CHECK(contains(refusal([&] { c.validate(); }), "model.rope: rotates a width of 6"));
  auto a = changed_net(), b = a;
  b.rope_theta = 10000;
  CHECK(same_uvit(a, b));
  a.rope = b.rope = true;
  CHECK_FALSE(same_uvit(a, b));
}

TEST_CASE("uvit routes: bypassing patches are as they were, and joined again in their places",
          "[options]") {
  for (const auto& c : {changed_net(), all_options()}) {
    auto net = shaken(c);
    const auto in = inputs_of(2);
    // Different patches of each example.
    const auto kept = torch::stack({torch::arange(0, 16, 2), torch::arange(1, 16, 2)});
    const auto out = net->forward_routed(in.x, in.t, in.y, {kept, 1});
    CHECK(out.sizes() == in.x.sizes());
    // Each example by itself gives the same, so places are not mixed up.
    for (int64_t i = 0; i < 2; ++i) {
      const auto of = [i](const torch::Tensor& t) { return t.slice(0, i, i + 1); };
      CHECK(relative_l2(net->forward_routed(of(in.x), of(in.t), of(in.y), {of(kept), 1}), of(out)) <
            1e-5);
    }
    // With a gradient for every parameter.
    out.square().mean().backward();
    for (const auto& item : net->named_parameters()) {
      INFO(item.key());
      CHECK(item.value().grad().defined());
    }
  }
  // If the routed blocks do nothing, the route changes nothing.
  auto still = changed_net();
  still.skip = false;
  auto net = shaken(still);
  {
    const torch::NoGradGuard no_grad;
    for (const auto& item : net->named_parameters())
      for (const char* block : {"in_blocks.1.", "mid_block.", "out_blocks.0."})
        for (const char* part : {"attn.proj", "mlp.fc2"})
          if (item.key().rfind(std::string(block) + part, 0) == 0)
            torch::Tensor(item.value()).zero_();
  }
  const auto in = inputs_of(2);
  const auto few = torch::tensor({3, 7, 8}).expand({2, 3});
  CHECK(relative_l2(net->forward_routed(in.x, in.t, in.y, {few, 1}),
                    net->forward(in.x, in.t, in.y)) < 1e-5);
}

TEST_CASE("uvit routes: what has no meaning is refused", "[options]") {
  UViT net(changed_net());
  const auto in = inputs_of(2);
  const auto kept = torch::arange(4).expand({2, 4});
  const auto with = [&](const torch::Tensor& k, int64_t margin) {
    return refusal([&] { net->forward_routed(in.x, in.t, in.y, {k, margin}); });
  };
  CHECK(contains(with(kept, 3), "leaves none of the 5 blocks"));
  CHECK(contains(with(kept[0], 1), "the kept tokens of a route are [4]"));
  CHECK(contains(with(torch::arange(17).expand({2, 17}), 1), "1 to 16"));
  UViT elliptical(changed_net("elliptical"));
  CHECK(contains(refusal([&] {
                   elliptical->forward_routed(in.x, in.t, in.y, {kept, 1});
                 }),
                 "attention elliptical"));
}
