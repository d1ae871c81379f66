// Causal fused attention, softmax and Cog, on every instruction set.
#include "model/kernels/cpu/isa.h"
#include "tests/model/kernels/attention_definition.h"
#include "tests/model/with_isa.h"
#include "tests/support/all_close.h"

using namespace uvic::model;
using namespace uvic::test;

TEST_CASE("fused attention: causal, at lengths on both sides of every tile, and against a cache",
          "[attention_kernel]") {
  torch::manual_seed(7);
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto dtype : kDtypes)
      for (const auto kind : kKinds)
        for (const int64_t width : {8, 17, 64})
          for (const auto& [queries, keys] : {std::pair<int64_t, int64_t>(1, 1),
                                              {2, 2},
                                              {15, 15},
                                              {16, 16},
                                              {17, 17},
                                              {95, 95},
                                              {96, 96},
                                              {97, 97},
                                              {193, 193},
                                              {257, 257},
                                              {273, 273},
                                              {600, 600},
                                              {1, 7},
                                              {1, 300},
                                              {3, 600},
                                              {100, 601}}) {
            if (width == 17 && keys > 200) continue;
            INFO(isa_name(isa) << " " << c10::toString(dtype)
                               << (kind == ScoreKind::cog ? " cog" : " softmax") << " width "
                               << width << ", " << queries << " queries, " << keys << " keys");
            const auto kv = [&, n = keys] { return torch::randn({1, 2, n, width}).to(dtype); };
            const auto q = torch::randn({1, 2, queries, width}).to(dtype);
            check_against_definition(kind, q, kv(), kv(), /*causal=*/true);
          }
  }
}

TEST_CASE("fused attention: causal, with scores that are huge where they are hidden",
          "[attention_kernel]") {
  torch::manual_seed(8);
  for (const Isa isa : available_isas()) {
    const WithIsa with(isa);
    for (const auto dtype : kDtypes)
      for (const auto kind : kKinds) {
        INFO(isa_name(isa) << " " << c10::toString(dtype));
        const auto x = [&](double size) {
          return (size * torch::randn({1, 1, 300, 16})).to(dtype);
        };
        auto k = x(1), v = x(1);
        const auto q = x(1), grad = x(1);
        const auto small = fused(kind, q, k, v, 0.25, grad, true);
        k.slice(2, 200) *= 1e6;
        v.slice(2, 200) *= 1e6;
        const auto huge = fused(kind, q, k, v, 0.25, grad, true);
        // Rows before 200 see none of it.
        const double tolerance = 16 * epsilon(dtype);
        CHECK_THAT(huge.out.slice(2, 0, 200),
                   AllClose(small.out.slice(2, 0, 200), tolerance, tolerance));
        CHECK_THAT(huge.grad_q.slice(2, 0, 200),
                   AllClose(small.grad_q.slice(2, 0, 200), tolerance, tolerance));
        for (const auto& g : {huge.out, huge.grad_q, huge.grad_k, huge.grad_v})
          CHECK(g.isfinite().all().item<bool>());
      }
  }
}
