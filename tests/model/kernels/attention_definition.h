// Fused attention against its definition in float64, for the tests of its kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "model/kernels/cpu/attention_kernels.h"
#include "tests/support/catch.h"

namespace uvic::test {

using model::ScoreKind;

constexpr ScoreKind kKinds[] = {ScoreKind::softmax, ScoreKind::cog};
constexpr torch::Dtype kDtypes[] = {torch::kFloat32, torch::kBFloat16};

/// What a call gives: the result and the gradients of its inputs.
struct Results {
  torch::Tensor out, grad_q, grad_k, grad_v;
};

inline torch::Tensor weights(ScoreKind kind, const torch::Tensor& s, bool causal) {
  const bool cog = kind == ScoreKind::cog;
  auto a = cog ? s.abs() : s;
  if (causal) {
    const auto hidden =
        torch::ones({s.size(2), s.size(3)}, torch::kBool).triu(s.size(3) - s.size(2) + 1);
    a = a.masked_fill(hidden, -std::numeric_limits<double>::infinity());
  }
  return cog ? s.sign() * a.softmax(-1) : a.softmax(-1);
}

/// The definition in float64; the gradients follow autograd through plain tensor code.
inline Results definition(ScoreKind kind,
                          torch::Tensor q,
                          torch::Tensor k,
                          torch::Tensor v,
                          double scale,
                          const torch::Tensor& grad_out,
                          bool causal) {
  for (auto* x : {&q, &k, &v}) *x = x->detach().to(torch::kFloat64).requires_grad_();
  const auto out = weights(kind, scale * q.matmul(k.transpose(-2, -1)), causal).matmul(v);
  const auto grads = torch::autograd::grad({out}, {q, k, v}, {grad_out.to(torch::kFloat64)});
  return {out.detach(), grads[0], grads[1], grads[2]};
}

/// The sums of the absolute values of all that the same results are sums of: rounding errors are
/// fractions of these, even where the results cancel to nothing.
inline Results magnitudes(ScoreKind kind,
                          torch::Tensor q,
                          torch::Tensor k,
                          torch::Tensor v,
                          double scale,
                          torch::Tensor grad_out,
                          bool causal) {
  for (auto* x : {&q, &k, &v, &grad_out}) *x = x->detach().to(torch::kFloat64);
  const auto p = weights(kind, scale * q.matmul(k.transpose(-2, -1)), causal).abs();
  for (auto* x : {&q, &k, &v, &grad_out}) *x = x->abs();
  const auto out = p.matmul(v);
  const auto ds =
      scale * p * (grad_out.matmul(v.transpose(-2, -1)) + (grad_out * out).sum(-1, true));
  return {out, ds.matmul(k), ds.transpose(-2, -1).matmul(q), p.transpose(-2, -1).matmul(grad_out)};
}

/// The same from the kernels.
inline Results fused(ScoreKind kind,
                     torch::Tensor q,
                     torch::Tensor k,
                     torch::Tensor v,
                     double scale,
                     const torch::Tensor& grad_out,
                     bool causal) {
  for (auto* x : {&q, &k, &v}) *x = x->detach().requires_grad_();
  const auto out = fused_attention(kind, q, k, v, scale, causal);
  const auto grads = torch::autograd::grad({out}, {q, k, v}, {grad_out.to(out.scalar_type())});
  return {out.detach(), grads[0], grads[1], grads[2]};
}

/// The largest relative error of rounding once: a bf16 has 8 significant bits, a float32 24.
inline double epsilon(torch::Dtype dtype) { return dtype == torch::kBFloat16 ? 0x1p-8 : 0x1p-24; }

/// Every result against the definition at the same (rounded) inputs, element by element.
///
/// Sums in float32 err by about sqrt(n) roundings of their magnitude, n the terms; a weight by half
/// as many again as its score is large (the score is rounded, and that times log2(e)). In bf16 each
/// factor and each result is rounded once, of which 4 meet in a gradient.
inline void check_against_definition(ScoreKind kind,
                                     const torch::Tensor& q,
                                     const torch::Tensor& k,
                                     const torch::Tensor& v,
                                     bool causal = false) {
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(3)));
  const auto grad_out = torch::randn_like(q);
  const auto expected = definition(kind, q, k, v, scale, grad_out, causal);
  const auto bound = magnitudes(kind, q, k, v, scale, grad_out, causal);
  const auto actual = fused(kind, q, k, v, scale, grad_out, causal);

  const double terms = std::max({q.size(2), k.size(2), q.size(3)});
  const double largest_score =
      scale * q.norm(2, -1).max().item<double>() * k.norm(2, -1).max().item<double>();
  const double float_units = 4 + 2 * std::sqrt(terms) + 1.5 * largest_score;
  const double tolerance =
      float_units * epsilon(torch::kFloat32) +
      (q.scalar_type() == torch::kBFloat16 ? 2 * epsilon(torch::kBFloat16) : 0);
  const auto check = [&](const char* name,
                         const torch::Tensor& a,
                         const torch::Tensor& e,
                         const torch::Tensor& m) {
    INFO(name << ": largest error in units of its bound");
    CHECK(((a.to(torch::kFloat64) - e).abs() / m.clamp_min(1e-30)).max().item<double>() /
              tolerance <=
          1);
  };
  check("out", actual.out, expected.out, bound.out);
  check("grad q", actual.grad_q, expected.grad_q, bound.grad_q);
  check("grad k", actual.grad_k, expected.grad_k, bound.grad_k);
  check("grad v", actual.grad_v, expected.grad_v, bound.grad_v);
}

}  // namespace uvic::test
