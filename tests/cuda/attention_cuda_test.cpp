// The CUDA attention kernels, run on the CPU: the same source, its threads as fibers
// (cuda_block_host.h).
#include "model/kernels/cuda/attention_cuda.h"

#include <cmath>
#include <string>
#include <vector>

#include "model/kernels/cuda/cuda_block.cuh"
#include "tests/cuda/attention_case.h"
#include "tests/support/catch.h"

namespace uvic::model::cuda {
namespace {

constexpr ScoreKind kKinds[] = {ScoreKind::softmax, ScoreKind::cog};
constexpr HalfType kTypes[] = {HalfType::bf16, HalfType::fp16};

TEST_CASE(
    "cuda attention: gradients and outputs agree with the definition at every length and width") {
  reset_emulation_report();
  for (const auto kind : kKinds)
    for (const auto type : kTypes)
      for (const int64_t width : {32, 40, 64, 72, 96, 128})
        for (const int64_t length : {1, 15, 16, 17, 64, 65}) {
          Problem p;
          p.kind = kind, p.type = type, p.width = width, p.queries = p.keys = length;
          p.batch = 1 + length % 2, p.heads = 1 + length / 16 % 2;
          p.scale = 1 / std::sqrt(static_cast<double>(width));
          check_against_definition(p);
        }
  CHECK(emulation_report().conflicting_loads == 0);
}

TEST_CASE("cuda attention: 257 tokens, the odd one beyond two blocks of 128") {
  for (const auto kind : kKinds)
    for (const int64_t width : {32, 64, 72, 128}) {
      Problem p;
      p.kind = kind, p.queries = p.keys = 257, p.width = width, p.heads = 2;
      p.type = width == 72 ? HalfType::fp16 : HalfType::bf16;
      p.scale = 1 / std::sqrt(static_cast<double>(width));
      check_against_definition(p);
    }
}

TEST_CASE("cuda attention: queries and keys of different number") {
  for (const auto kind : kKinds) {
    Problem p;
    p.kind = kind, p.queries = 33, p.keys = 130, p.batch = 2;
    check_against_definition(p);
    p.queries = 200, p.keys = 3, p.width = 96;
    check_against_definition(p);
  }
}

TEST_CASE("cuda attention: an odd token costs less than a tile") {
  const auto products = [](int64_t length) {
    Problem p;
    p.queries = p.keys = length;
    Case c(p);
    reset_emulation_report();
    c.run();
    return static_cast<double>(emulation_report().multiply_adds);
  };
  // A tile of 64 queries and keys more would be (5 / 4)^2 = 1.56 times the work.
  CHECK(products(257) / products(256) < 1.15);
}

TEST_CASE("cuda attention: all orders of threads give the same bits") {
  for (const int64_t length : {17, 161, 257}) {
    Problem p;
    p.queries = p.keys = length, p.heads = 2;
    check_thread_orders(p);
  }
}

TEST_CASE("cuda attention: an image's result depends on neither batch nor heads") {
  Problem p;
  p.queries = p.keys = 65, p.batch = 2, p.heads = 3;
  Case all(p);
  all.run();
  p.batch = p.heads = 1;
  Case one(p);
  for (int part = 0; part < 3; ++part)
    for (int64_t t = 0; t < 65; ++t)
      for (int64_t d = 0; d < p.width; ++d)
        one.qkv.set(one.at(part, 0, 0, t) + d, all.qkv.get(all.at(part, 1, 2, t) + d));
  for (int64_t t = 0; t < 65; ++t)
    for (int64_t d = 0; d < p.width; ++d)
      one.grad_out.set(one.out_at(0, 0, t) + d, all.grad_out.get(all.out_at(1, 2, t) + d));
  one.run();
  for (int64_t t = 0; t < 65; ++t)
    for (int64_t d = 0; d < p.width; ++d) {
      REQUIRE(one.out.get(one.out_at(0, 0, t) + d) == all.out.get(all.out_at(1, 2, t) + d));
      for (int part = 0; part < 3; ++part)
        REQUIRE(one.grad_qkv.get(one.at(part, 0, 0, t) + d) ==
                all.grad_qkv.get(all.at(part, 1, 2, t) + d));
    }
}

TEST_CASE("cuda attention: scores of zero have no weight but count, and pass no gradient") {
  for (const auto kind : kKinds)
    for (const int64_t length : {16, 70}) {
      Problem p;
      p.kind = kind, p.queries = p.keys = length, p.width = 32;
      Case c(p);
      for (int64_t t = 0; t < length; t += 3)  // every third key meets every query at 0
        for (int64_t d = 0; d < p.width; ++d) c.qkv.set(c.at(1, 0, 0, t) + d, t % 2 ? -0.0 : 0.0);
      for (int64_t d = 0; d < p.width; ++d)
        c.qkv.set(c.at(0, 0, 0, 5) + d, 0);  // and one query all keys
      c.run();
      const auto right = answers(c);
      CHECK(distance(elements(c.out), right.out) < tolerance(p.type));
      for (int part = 0; part < 3; ++part)
        CHECK(distance(gradient(c, part),
                       part == 0   ? right.q
                       : part == 1 ? right.k
                                   : right.v) < tolerance(p.type));
      if (kind == ScoreKind::cog)
        for (int64_t d = 0; d < p.width; ++d) {
          CHECK(c.out.get(c.out_at(0, 0, 5) + d) == 0);
          CHECK(c.grad_qkv.get(c.at(0, 0, 0, 5) + d) == 0);
        }
    }
}

TEST_CASE("cuda attention: huge scores neither overflow nor lose the row") {
  for (const auto kind : kKinds)
    for (const double score_scale : {30.0, 1e4, 1e15}) {
      Problem p;
      p.kind = kind, p.queries = p.keys = 66, p.width = 32, p.score_scale = score_scale;
      INFO(score_scale);
      Case c(p);
      c.run();
      const auto right = answers(c);
      // Rounding of s in float32 moves its weight where two keys are nearly equal: rows with one
      // key far ahead remain.
      CHECK(distance(elements(c.out), right.out) < 0.02);
      for (int part = 0; part < 3; ++part)
        for (const double x : gradient(c, part)) REQUIRE(std::isfinite(x));
    }
}

TEST_CASE("cuda attention: products beyond float32 count as the largest float") {
  Problem p;
  p.queries = p.keys = 20, p.width = 32;
  Case c(p);
  for (int64_t t = 0; t < 20; ++t)
    for (int64_t d = 0; d < p.width; ++d) {
      c.qkv.set(c.at(0, 0, 0, t) + d, 1e25);
      c.qkv.set(c.at(1, 0, 0, t) + d, t % 2 ? 1e25 : -1e25);
      c.qkv.set(c.at(2, 0, 0, t) + d, t % 2 ? 1 : 3);
    }
  c.run();
  // Weights +-1/20: (10 * 1 - 10 * 3) / 20.
  for (const double x : elements(c.out)) REQUIRE(x == -1);
  for (const double x : gradient(c, 2)) REQUIRE(std::isfinite(x));
}

TEST_CASE("cuda attention: NaN stays NaN, in its own row alone") {
  for (const auto kind : kKinds) {
    Problem p;
    p.kind = kind, p.queries = p.keys = 40;
    Case c(p);
    c.qkv.set(c.at(0, 0, 0, 3), std::nan(""));
    attention_forward(c.forward_call(), nullptr);
    for (int64_t t = 0; t < 40; ++t)
      for (int64_t d = 0; d < p.width; ++d)
        REQUIRE(std::isnan(c.out.get(c.out_at(0, 0, t) + d)) == (t == 3));
  }
}

TEST_CASE(
    "cuda attention: no instance asks for more shared memory than any GPU from Ampere on has") {
  reset_emulation_report();
  for (const int64_t width : {32, 64, 80, 96, 128}) {
    Problem p;
    p.queries = p.keys = 129, p.width = width;
    Case c(p);
    c.run();
  }
  CHECK(emulation_report().largest_shared_bytes <= 99 * 1024);
}

TEST_CASE("cuda attention: calls that are not served are refused with the reason") {
  Case c(Problem{});
  auto call = c.forward_call();
  CHECK(refusal(call) == nullptr);
  call.width = 60;
  CHECK(std::string(refusal(call)).find("head width") != std::string::npos);
  CHECK_THROWS_AS(attention_forward(call, nullptr), std::invalid_argument);
  call = c.forward_call();
  call.q.data = static_cast<const char*>(call.q.data) + 2;
  CHECK(std::string(refusal(call)).find("16 bytes") != std::string::npos);
  call = c.forward_call();
  call.scale = 0;
  CHECK(refusal(call) != nullptr);
  auto back = c.backward_call();
  CHECK(refusal(back) == nullptr);
  back.row_facts = nullptr;
  CHECK(refusal(back) != nullptr);
}

}  // namespace
}  // namespace uvic::model::cuda
