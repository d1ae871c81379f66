#include "model/kernels/cpu/fused_block.h"

#include <cmath>
#include <stdexcept>
#include <vector>

#include "tests/model/with_isa.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::relative_l2;
using uvic::test::WithIsa;

namespace {

/// A block's inputs: x, skip, then its parameters, in the order of BlockParameters.
std::vector<torch::Tensor> make_inputs(
    int64_t batch, int64_t tokens, int64_t dim, bool skip, bool qkv_bias) {
  const auto weight = [](int64_t out, int64_t in) {
    return torch::randn({out, in}) / std::sqrt(static_cast<double>(in));
  };
  const auto x = [&] { return torch::randn({batch, tokens, dim}); };
  return {x(),
          skip ? x() : torch::Tensor(),
          skip ? weight(dim, 2 * dim) : torch::Tensor(),
          skip ? torch::randn(dim) : torch::Tensor(),
          1 + 0.1 * torch::randn(dim),
          torch::randn(dim),
          weight(3 * dim, dim),
          qkv_bias ? torch::randn(3 * dim) : torch::Tensor(),
          weight(dim, dim),
          torch::randn(dim),
          1 + 0.1 * torch::randn(dim),
          torch::randn(dim),
          weight(4 * dim, dim),
          torch::randn(4 * dim),
          weight(dim, 4 * dim),
          torch::randn(dim)};
}

std::vector<torch::Tensor> leaves(const std::vector<torch::Tensor>& inputs, torch::Dtype dtype) {
  std::vector<torch::Tensor> copies;
  for (const auto& x : inputs)
    copies.push_back(x.defined() ? x.detach().to(dtype).clone().requires_grad_() : x);
  return copies;
}

/// The definition in plain tensor code, in the dtype of its inputs.
torch::Tensor plain(const std::vector<torch::Tensor>& v, const BlockShape& shape) {
  auto x = v[0];
  const int64_t dim = x.size(2);
  if (v[1].defined()) x = torch::linear(torch::cat({x, v[1]}, -1), v[2], v[3]);
  const auto qkv =
      torch::linear(torch::layer_norm(x, {dim}, v[4], v[5], shape.norm_epsilon), v[6], v[7])
          .view({x.size(0), x.size(1), 3, shape.heads, dim / shape.heads})
          .permute({2, 0, 3, 1, 4});
  const auto s = shape.scale * qkv[0].matmul(qkv[1].transpose(-2, -1));
  const auto w = shape.kind == ScoreKind::cog ? s.sign() * s.abs().softmax(-1) : s.softmax(-1);
  x = x + torch::linear(w.matmul(qkv[2]).transpose(1, 2).flatten(2), v[8], v[9]);
  const auto hidden =
      torch::linear(torch::layer_norm(x, {dim}, v[10], v[11], shape.norm_epsilon), v[12], v[13]);
  return x + torch::linear(torch::gelu(hidden), v[14], v[15]);
}

torch::Tensor fused(const std::vector<torch::Tensor>& v,
                    const BlockShape& shape,
                    torch::Dtype compute) {
  return fused_block(
      v[0],
      v[1],
      {v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12], v[13], v[14], v[15]},
      shape,
      compute);
}

}  // namespace

TEST_CASE("fused block: output and every gradient agree with plain tensor code in float64",
          "[fused_block]") {
  torch::manual_seed(1);
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto compute : {torch::kFloat32, torch::kBFloat16})
      for (const auto kind : {ScoreKind::softmax, ScoreKind::cog})
        for (const bool skip : {false, true}) {
          INFO(isa_name(isa) << " " << c10::toString(compute)
                             << (kind == ScoreKind::cog ? " cog" : " softmax")
                             << (skip ? " with skip" : ""));
          const BlockShape shape{4, 0.3, kind, 1e-5};
          const auto inputs = make_inputs(3, 21, 48, skip, /*qkv_bias=*/skip);
          const auto exact = leaves(inputs, torch::kFloat64),
                     ours = leaves(inputs, torch::kFloat32);
          const auto expected = plain(exact, shape);
          const auto actual = fused(ours, shape, compute);
          CHECK(actual.scalar_type() == torch::kFloat32);
          // bf16: some ten products in a row, each of operands rounded by 2^-9, of which the worst
          // gradients feel all.
          const double tolerance = compute == torch::kFloat32 ? 1e-5 : 0.03;
          CHECK(relative_l2(actual, expected) <= tolerance);
          const auto grad_out = torch::randn_like(actual);
          expected.backward(grad_out.to(torch::kFloat64));
          actual.backward(grad_out);
          for (size_t i = 0; i < ours.size(); ++i) {
            if (!ours[i].defined()) continue;
            INFO("input " << i);
            CHECK(ours[i].grad().scalar_type() == torch::kFloat32);
            CHECK(relative_l2(ours[i].grad(), exact[i].grad()) <= tolerance);
          }
        }
  }
}

namespace {

/// A block with RMSNorm, a SwiGLU and, each if asked for, norms and rotations of heads.
struct ModernBlock {
  std::vector<torch::Tensor> inputs;  ///< of make_inputs(), then the weights of q's and k's norm
  torch::Tensor cos, sin;
};

ModernBlock make_modern(
    int64_t heads, bool skip, bool normalises, bool turns, bool turns_examples) {
  const int64_t batch = 3, tokens = 21, dim = 48, hidden = 40, width = dim / heads;
  auto v = make_inputs(batch, tokens, dim, skip, /*qkv_bias=*/skip);
  v[5] = v[11] = torch::Tensor();
  v[12] = torch::randn({2 * hidden, dim}) / std::sqrt(dim), v[13] = torch::randn(2 * hidden);
  v[14] = torch::randn({dim, hidden}) / std::sqrt(hidden);
  v.push_back(normalises ? 1 + 0.1 * torch::randn(width) : torch::Tensor());
  v.push_back(normalises ? 1 + 0.1 * torch::randn(width) : torch::Tensor());
  ModernBlock block{v, {}, {}};
  if (!turns) return block;
  const auto angles = 3 * torch::randn({turns_examples ? batch * tokens : tokens, width / 2});
  block.cos = angles.cos(), block.sin = angles.sin();
  return block;
}

torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double epsilon) {
  return x * (x.square().mean(-1, true) + epsilon).rsqrt() * weight;
}

/// x [B, L, heads, D], the pairs (d, d + D / 2) as complex numbers times e^(i angle).
torch::Tensor turned(const torch::Tensor& x, const ModernBlock& block) {
  if (!block.cos.defined()) return x;
  const auto halves = x.chunk(2, -1);
  const auto at = [&](const torch::Tensor& t) {
    return t.to(x.scalar_type()).view({-1, x.size(1), 1, x.size(3) / 2});
  };
  const auto product = torch::complex(halves[0].contiguous(), halves[1].contiguous()) *
                       torch::complex(at(block.cos), at(block.sin));
  return torch::cat({torch::real(product), torch::imag(product)}, -1);
}

torch::Tensor plain_modern(const std::vector<torch::Tensor>& v,
                           const ModernBlock& block,
                           const BlockShape& shape) {
  auto x = v[0];
  if (v[1].defined()) x = torch::linear(torch::cat({x, v[1]}, -1), v[2], v[3]);
  const auto parts = torch::linear(rms_norm(x, v[4], shape.norm_epsilon), v[6], v[7])
                         .view({x.size(0), x.size(1), 3, shape.heads, x.size(2) / shape.heads})
                         .unbind(2);
  const auto placed = [&](torch::Tensor t, const torch::Tensor& weight) {
    if (weight.defined()) t = rms_norm(t, weight, shape.head_norm_epsilon);
    return turned(t, block).transpose(1, 2);  // [B, heads, L, D]
  };
  const auto s =
      shape.scale * placed(parts[0], v[16]).matmul(placed(parts[1], v[17]).transpose(-2, -1));
  const auto w = shape.kind == ScoreKind::cog ? s.sign() * s.abs().softmax(-1) : s.softmax(-1);
  const auto attended = w.matmul(parts[2].transpose(1, 2)).transpose(1, 2).flatten(2);
  x = x + torch::linear(attended, v[8], v[9]);
  const auto both =
      torch::linear(rms_norm(x, v[10], shape.norm_epsilon), v[12], v[13]).chunk(2, -1);
  return x + torch::linear(both[0] * both[0].sigmoid() * both[1], v[14], v[15]);
}

torch::Tensor fused_modern(const std::vector<torch::Tensor>& v,
                           const ModernBlock& block,
                           const BlockShape& shape,
                           torch::Dtype compute) {
  BlockParameters p{
      v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12], v[13], v[14], v[15]};
  p.q_norm_weight = v[16], p.k_norm_weight = v[17];
  p.cos = block.cos, p.sin = block.sin;
  return fused_block(v[0], v[1], p, shape, compute);
}

}  // namespace

TEST_CASE("fused block: RMSNorm, SwiGLU and placed heads agree with plain tensor code in float64",
          "[fused_block]") {
  torch::manual_seed(3);
  struct Case {
    int64_t heads;  // of widths 16, 12 (halves of 6) and 24
    bool skip, normalises, turns, turns_examples;
  };
  const std::vector<Case> cases{{3, true, true, true, false},
                                {4, false, false, true, true},
                                {2, true, true, false, false},
                                {3, false, false, false, false}};
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto compute : {torch::kFloat32, torch::kBFloat16})
      for (const auto kind : {ScoreKind::softmax, ScoreKind::cog})
        for (const auto& c : cases) {
          INFO(isa_name(isa) << " " << c10::toString(compute)
                             << (kind == ScoreKind::cog ? " cog " : " softmax ") << c.heads);
          const BlockShape shape{c.heads, 0.3, kind, 1e-6, /*swiglu=*/true, 1e-6};
          const auto block = make_modern(c.heads, c.skip, c.normalises, c.turns, c.turns_examples);
          const auto exact = leaves(block.inputs, torch::kFloat64),
                     ours = leaves(block.inputs, torch::kFloat32);
          const auto expected = plain_modern(exact, block, shape);
          const auto actual = fused_modern(ours, block, shape, compute);
          const double tolerance = compute == torch::kFloat32 ? 1e-5 : 0.05;
          CHECK(relative_l2(actual, expected) <= tolerance);
          const auto grad_out = torch::randn_like(actual);
          expected.backward(grad_out.to(torch::kFloat64));
          actual.backward(grad_out);
          for (size_t i = 0; i < ours.size(); ++i) {
            if (!ours[i].defined()) continue;
            INFO("input " << i);
            CHECK(relative_l2(ours[i].grad(), exact[i].grad()) <= tolerance);
          }
        }
  }
}

TEST_CASE("fused block: rotations that don't fit are refused", "[fused_block]") {
  auto block = make_modern(3, false, false, true, false);
  const BlockShape shape{3, 0.3, ScoreKind::cog, 1e-6, true, 1e-6};
  block.cos = block.sin = torch::ones({20, 8});  // 21 tokens
  CHECK_THROWS_AS(fused_modern(block.inputs, block, shape, torch::kFloat32), std::invalid_argument);
  block.cos = block.sin = torch::ones({21, 4});  // heads of 16
  CHECK_THROWS_AS(fused_modern(block.inputs, block, shape, torch::kFloat32), std::invalid_argument);
}

TEST_CASE("fused block: without a graph it computes the same bits", "[fused_block]") {
  torch::manual_seed(2);
  const BlockShape shape{2, 0.3, ScoreKind::cog, 1e-5};
  const auto inputs = make_inputs(2, 9, 32, true, false);
  const auto with_graph = fused(leaves(inputs, torch::kFloat32), shape, torch::kBFloat16).detach();
  torch::NoGradGuard no_grad;
  CHECK(torch::equal(fused(inputs, shape, torch::kBFloat16), with_graph));
}

TEST_CASE("fused block: what it can't do is said", "[fused_block]") {
  const auto inputs = make_inputs(1, 4, 16, false, false);
  const BlockShape shape{2, 0.3, ScoreKind::cog, 1e-5};
  auto wrong = inputs;
  wrong[0] = torch::randn({1, 4, 18});
  CHECK_THROWS_AS(fused(wrong, shape, torch::kFloat32), std::invalid_argument);
  wrong = inputs;
  wrong[1] = torch::randn({1, 4, 16});  // a skip, and no weights for it
  CHECK_THROWS_AS(fused(wrong, shape, torch::kFloat32), std::invalid_argument);
  CHECK_THROWS_AS(fused(inputs, shape, torch::kFloat64), std::invalid_argument);
  const auto again = leaves(inputs, torch::kFloat32);
  const auto out = fused(again, shape, torch::kFloat32);
  CHECK_THROWS_AS(torch::autograd::grad(
                      {out.sum()}, {again[0]}, {}, /*retain_graph=*/true, /*create_graph=*/true),
                  std::runtime_error);
}
