#include "model/kernels/cpu/attention_kernels.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "model/kernels/cpu/isa.h"
#include "tests/model/kernels/attention_definition.h"
#include "tests/model/with_isa.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using uvic::test::AllClose;
using uvic::test::check_against_definition;
using uvic::test::epsilon;
using uvic::test::kDtypes;
using uvic::test::kKinds;
using uvic::test::WithIsa;

TEST_CASE(
    "fused attention: every instruction set, width and length agrees with the definition in "
    "float64",
    "[attention_kernel]") {
  torch::manual_seed(1);
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto dtype : kDtypes)
      for (const auto kind : kKinds)
        for (const int64_t width : {1, 8, 17, 32, 48, 64, 80, 128})
          for (const int64_t tokens : {1, 2, 17, 64, 65, 66, 257}) {
            INFO(isa_name(isa) << " " << c10::toString(dtype)
                               << (kind == ScoreKind::cog ? " cog" : " softmax") << " width "
                               << width << " tokens " << tokens);
            const auto x = [&] { return torch::randn({1, 2, tokens, width}).to(dtype); };
            check_against_definition(kind, x(), x(), x());
          }
  }
}

TEST_CASE(
    "fused attention: lengths beyond one tile of keys, and queries and keys of different number",
    "[attention_kernel]") {
  torch::manual_seed(2);
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto dtype : kDtypes)
      for (const auto kind : kKinds)
        for (const auto& [queries, keys] :
             {std::pair(273, 273), {1025, 1025}, {3, 600}, {600, 5}}) {
          INFO(isa_name(isa) << " " << c10::toString(dtype) << " " << queries << " queries " << keys
                             << " keys");
          const auto kv = [&, n = keys] { return torch::randn({1, 1, n, 40}).to(dtype); };
          check_against_definition(kind, torch::randn({1, 1, queries, 40}).to(dtype), kv(), kv());
        }
  }
}

TEST_CASE(
    "fused attention: rows of small and of large scores side by side, in one tile and in several",
    "[attention_kernel]") {
  torch::manual_seed(6);
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto dtype : kDtypes)
      for (const auto kind : kKinds)
        for (const int64_t tokens : {33, 257, 600}) {
          INFO(isa_name(isa) << " " << c10::toString(dtype) << " tokens " << tokens);
          const auto x = [&] { return torch::randn({1, 1, tokens, 32}); };
          // Of 1 / 16 the usual size, up to 16 times it.
          const auto sizes = torch::pow(2.0, torch::arange(tokens).remainder(9) - 4);
          check_against_definition(
              kind, (x() * sizes.view({-1, 1})).to(dtype), x().to(dtype), x().to(dtype));
        }
  }
}

TEST_CASE("fused attention: a weight is exact to a few roundings from e^0 down to e^-80",
          "[attention_kernel]") {
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    INFO(isa_name(isa));
    // Scores 0 and x, values 0 and 1: the result is e^x / (1 + e^x).
    const auto x = torch::linspace(0, -80, 4001);
    const auto q = x.view({1, 1, -1, 1});
    const auto keys = torch::tensor({0.f, 1.f}).view({1, 1, 2, 1});
    const auto actual =
        fused_attention(ScoreKind::softmax, q, keys, keys, 1.0).flatten().to(torch::kFloat64);
    const auto e = x.to(torch::kFloat64).exp(), expected = e / (1 + e);
    // log2(e) and x log2(e) are rounded, which the exponential multiplies by |x|; the rest is the
    // polynomial, the sum and the division.
    const auto units =
        ((actual - expected).abs() / expected) / (epsilon(torch::kFloat32) * (6 + 1.5 * x.abs()));
    CHECK(units.max().item<double>() <= 1);
  }
}

TEST_CASE("fused attention: scores of any size give finite weights", "[attention_kernel]") {
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto dtype : kDtypes)
      for (const auto kind : kKinds)
        for (const double size :
             {1e3, 1e10, 1.8e19}) {  // scores 1e6, 1e20 and 3.2e38, just below the end of float32
          INFO(isa_name(isa) << " " << c10::toString(dtype) << " size " << size);
          // Row 0 looks along key 0, row 1 against it: softmax takes key 0 and key 1 alone, Cog
          // shares between both with signs.
          const auto q =
              (torch::tensor({1., -1.}).view({1, 1, 2, 1}) * size).to(dtype).requires_grad_();
          const auto k =
              (torch::tensor({1., -1., 0.}).view({1, 1, 3, 1}) * size).to(dtype).requires_grad_();
          const auto v = torch::tensor({2., 4., 8.}).view({1, 1, 3, 1}).to(dtype).requires_grad_();
          const auto out = fused_attention(kind, q, k, v, 1.0);
          const auto expected =
              kind == ScoreKind::cog ? torch::tensor({-1., 1.}) : torch::tensor({2., 4.});
          CHECK(torch::equal(out.flatten().to(torch::kFloat64), expected.to(torch::kFloat64)));
          out.sum().backward();
          CHECK(q.grad().isfinite().all().item<bool>());
          CHECK(k.grad().isfinite().all().item<bool>());
          CHECK(v.grad().isfinite().all().item<bool>());
        }
  }
}

TEST_CASE(
    "fused cog: a zero score has weight 0 and no gradient, and still counts in the "
    "denominator",
    "[attention_kernel]") {
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto dtype : kDtypes) {
      INFO(isa_name(isa) << " " << c10::toString(dtype));
      const auto q = torch::tensor({1., 0.}).view({1, 1, 1, 2}).to(dtype).requires_grad_();
      const auto k = torch::tensor({0., 1., 0., -1.})
                         .view({1, 1, 2, 2})
                         .to(dtype)
                         .requires_grad_();  // both scores 0
      const auto v = torch::tensor({3., 5.})
                         .view({1, 1, 2, 1})
                         .expand({1, 1, 2, 2})
                         .to(dtype)
                         .requires_grad_();
      const auto out = fused_attention(ScoreKind::cog, q, k, v, 1.0);
      CHECK(torch::equal(out, torch::zeros_like(out)));
      out.sum().backward();
      for (const auto& grad : {q.grad(), k.grad(), v.grad()})
        CHECK(torch::equal(grad, torch::zeros_like(grad)));

      // One score of ln 3 and one of 0: weight 3 / (3 + 1).
      const auto mixed = torch::tensor({1., 0., 0., 1.}).view({1, 1, 2, 2}).to(dtype);
      const auto steep =
          fused_attention(ScoreKind::cog, q.detach(), mixed, v.detach(), std::log(3.0));
      CHECK_THAT(steep, AllClose(torch::full({1, 1, 1, 2}, 2.25), 2 * epsilon(dtype), 0));
    }
  }
}

TEST_CASE("fused attention: a NaN reaches its own row and every gradient, and no other row",
          "[attention_kernel]") {
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto kind : kKinds) {
      INFO(isa_name(isa));
      auto q = torch::randn({1, 1, 20, 8});
      q[0][0][3][2] = std::numeric_limits<float>::quiet_NaN();
      const auto out =
          fused_attention(kind, q, torch::randn({1, 1, 20, 8}), torch::randn({1, 1, 20, 8}), 1.0);
      const auto rows = out.isnan().all(-1).flatten();
      CHECK(rows[3].item<bool>());
      CHECK(out.isnan().any(-1).sum().item<int64_t>() == 1);
    }
  }
}

TEST_CASE("fused attention: an image's bits depend neither on its batch nor on the threads",
          "[attention_kernel]") {
  torch::manual_seed(3);
  const int threads = at::get_num_threads();
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto dtype : kDtypes)
      for (const auto kind : kKinds) {
        INFO(isa_name(isa) << " " << c10::toString(dtype));
        const auto qkv = torch::randn({5, 65, 3 * 4 * 24}).to(dtype),
                   grad_out = torch::randn({5, 65, 4 * 24}).to(dtype);
        const auto run = [&](int count, int64_t from, int64_t to) {
          at::set_num_threads(count);
          const auto x = qkv.slice(0, from, to).clone().requires_grad_();
          const auto out = fused_attention(kind, x, 4, 0.2);
          out.backward(grad_out.slice(0, from, to));
          return std::pair(out.detach(), x.grad());
        };
        const auto [all, all_grad] = run(1, 0, 5);
        const auto [threaded, threaded_grad] = run(3, 0, 5);
        CHECK(torch::equal(all, threaded));
        CHECK(torch::equal(all_grad, threaded_grad));
        const auto [part, part_grad] = run(2, 2, 4);
        CHECK(torch::equal(all.slice(0, 2, 4), part));
        CHECK(torch::equal(all_grad.slice(0, 2, 4), part_grad));
      }
  }
  at::set_num_threads(threads);
}

TEST_CASE("fused attention: the packed form is the separate one, bit for bit",
          "[attention_kernel]") {
  torch::manual_seed(4);
  for (const auto dtype : kDtypes) {
    const int64_t heads = 3, width = 20, tokens = 33;
    const auto packed = torch::randn({2, tokens, 3 * heads * width}).to(dtype).requires_grad_();
    const auto separate = packed.detach().clone().requires_grad_();
    const auto parts =
        separate.view({2, tokens, 3, heads, width}).permute({2, 0, 3, 1, 4}).unbind();
    const auto a = fused_attention(ScoreKind::cog, packed, heads, 0.3);
    const auto b = fused_attention(ScoreKind::cog, parts[0], parts[1], parts[2], 0.3)
                       .transpose(1, 2)
                       .flatten(2);
    CHECK(a.sizes() == torch::IntArrayRef({2, tokens, heads * width}));
    CHECK(torch::equal(a, b));
    const auto grad_out = torch::randn_like(a);
    a.backward(grad_out);
    b.backward(grad_out);
    CHECK(torch::equal(packed.grad(), separate.grad()));
  }
}

TEST_CASE("fused attention: inputs of any strides", "[attention_kernel]") {
  torch::manual_seed(5);
  for (const auto dtype : kDtypes) {
    const auto q = torch::randn({2, 3, 16, 10})
                       .to(dtype)
                       .transpose(2, 3);  // [2, 3, 10, 16], no row in one piece
    const auto k = torch::randn({3, 2, 10, 16}).to(dtype).transpose(0, 1);
    const auto v = torch::randn({2, 3, 10, 19}).to(dtype).slice(3, 1, 17);  // rows of an odd stride
    CHECK(torch::equal(
        fused_attention(ScoreKind::cog, q, k, v, 1.0),
        fused_attention(ScoreKind::cog, q.contiguous(), k.contiguous(), v.contiguous(), 1.0)));
  }
}

TEST_CASE("fused attention: memory grows with the length, not with its square",
          "[attention_kernel]") {
  AttentionGradCall call{};
  call.forward.batch = call.forward.heads = 1;
  call.forward.width = 64;
  const auto floats = [&](int64_t tokens) {
    call.forward.queries = call.forward.keys = tokens;
    return active_kernels().attention_scratch(call.forward) +
           active_kernels().attention_grad_scratch(call);
  };
  CHECK(floats(8192) < 2.1 * floats(4096));
}

TEST_CASE("fused attention: what it can't do is said", "[attention_kernel]") {
  const auto x = torch::randn({1, 2, 4, 8});
  CHECK_THROWS_AS(fused_attention(ScoreKind::cog, x, x, torch::randn({1, 2, 5, 8}), 1.0),
                  std::invalid_argument);
  CHECK_THROWS_AS(fused_attention(ScoreKind::cog, x, x.to(torch::kBFloat16), x, 1.0),
                  std::invalid_argument);
  const auto more = torch::randn({1, 2, 9, 8});  // queries than keys
  CHECK_THROWS_AS(fused_attention(ScoreKind::cog, more, x, x, 1.0, /*causal=*/true),
                  std::invalid_argument);
  CHECK_THROWS_AS(fused_attention(ScoreKind::cog, torch::randn({1, 4, 25}), 4, 1.0),
                  std::invalid_argument);
  CHECK_FALSE(fused_attention_serves(x.to(torch::kFloat64)));

  const auto leaf = x.clone().requires_grad_();
  const auto out = fused_attention(ScoreKind::cog, leaf, leaf, leaf, 1.0);
  CHECK_THROWS_AS(
      torch::autograd::grad({out.sum()}, {leaf}, {}, /*retain_graph=*/true, /*create_graph=*/true),
      std::runtime_error);
}

TEST_CASE("instruction sets: chosen by name, and an unknown name lists those that run here",
          "[attention_kernel]") {
  const Isa before = active_isa();
  for (const Isa isa : available_isas()) {
    force_isa(isa_name(isa));
    CHECK(active_isa() == isa);
  }
  std::string message;
  try {
    force_isa("sse9");
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  CHECK(message.find("sse9") != std::string::npos);
  CHECK(message.find("portable") != std::string::npos);
  force_isa(before);
}
