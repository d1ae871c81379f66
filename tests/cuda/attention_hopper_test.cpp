// The attention kernels for compute capability 9.0 (attention_hopper_tiles.cuh), run on the CPU,
// against the definition and against the other kernels.
#include <cmath>
#include <vector>

#include "model/kernels/cuda/attention_cuda.h"
#include "tests/cuda/attention_case.h"
#include "tests/support/catch.h"

namespace uvic::model::cuda {
namespace {

TEST_CASE("hopper attention: outputs and gradients agree with the definition at every length") {
  const Family hopper(KernelFamily::hopper);
  reset_emulation_report();
  for (const auto kind : {ScoreKind::softmax, ScoreKind::cog})
    for (const auto type : {HalfType::bf16, HalfType::fp16})
      for (const int64_t length : {33, 64, 65, 81, 128, 130, 257}) {
        Problem p;
        p.kind = kind, p.type = type, p.queries = p.keys = length;
        p.width = length % 2 == 0 ? 64 : length % 5 == 0 ? 40 : 56;
        if (length == 257) p.width = 64;
        p.heads = 1 + length % 3;
        p.scale = 1 / std::sqrt(static_cast<double>(p.width));
        check_against_definition(p);
      }
  CHECK(emulation_report().conflicting_loads == 0);
}

TEST_CASE("hopper attention: queries and keys of different number") {
  const Family hopper(KernelFamily::hopper);
  for (const auto kind : {ScoreKind::softmax, ScoreKind::cog}) {
    Problem p;
    p.kind = kind, p.queries = 40, p.keys = 205, p.batch = 2;
    check_against_definition(p);
    p.queries = 200, p.keys = 3;
    check_against_definition(p);
  }
}

TEST_CASE("hopper attention: all orders of threads give the same bits") {
  const Family hopper(KernelFamily::hopper);
  Problem p;
  p.queries = p.keys = 161, p.heads = 2;
  check_thread_orders(p);
}

TEST_CASE("hopper attention: zeros, huge scores and NaN are treated as by the definition") {
  const Family hopper(KernelFamily::hopper);
  for (const auto kind : {ScoreKind::softmax, ScoreKind::cog}) {
    Problem p;
    p.kind = kind, p.queries = p.keys = 70;
    Case zeros(p);
    for (int64_t t = 0; t < 70; t += 3)
      for (int64_t d = 0; d < p.width; ++d)
        zeros.qkv.set(zeros.at(1, 0, 0, t) + d, t % 2 ? -0.0 : 0.0);
    zeros.run();
    CHECK(distance(elements(zeros.out), answers(zeros).out) < tolerance(p.type));
    CHECK(distance(gradient(zeros, 1), answers(zeros).k) < tolerance(p.type));

    for (const double score_scale : {30.0, 1e4, 1e15}) {
      p.score_scale = score_scale;
      Case huge(p);
      huge.run();
      CHECK(distance(elements(huge.out), answers(huge).out) < 0.02);
      for (int part = 0; part < 3; ++part)
        for (const double x : gradient(huge, part)) REQUIRE(std::isfinite(x));
    }
    p.score_scale = 1;
    Case hurt(p);
    hurt.qkv.set(hurt.at(0, 0, 0, 3), std::nan(""));
    attention_forward(hurt.forward_call(), nullptr);
    for (int64_t t = 0; t < 70; ++t)
      for (int64_t d = 0; d < p.width; ++d)
        REQUIRE(std::isnan(hurt.out.get(hurt.out_at(0, 0, t) + d)) == (t == 3));
  }
}

TEST_CASE("hopper attention: two blocks fit on a multiprocessor") {
  const Family hopper(KernelFamily::hopper);
  reset_emulation_report();
  Problem p;
  p.queries = p.keys = 129;
  Case c(p);
  c.run();
  constexpr int64_t kSharedOfH100 = 228 * 1024, kReservedForBlock = 1024;
  CHECK(2 * (emulation_report().largest_shared_bytes + kReservedForBlock) <= kSharedOfH100);
}

}  // namespace
}  // namespace uvic::model::cuda
