// The causal CUDA attention kernels, those for compute capability 8.0 and those for 9.0, run on the
// CPU against the definition in float64.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "model/kernels/cuda/attention_cuda.h"
#include "model/kernels/cuda/cuda_block.cuh"
#include "tests/cuda/attention_case.h"
#include "tests/support/catch.h"

namespace uvic::model::cuda {
namespace {

constexpr ScoreKind kKinds[] = {ScoreKind::softmax, ScoreKind::cog};
constexpr KernelFamily kFamilies[] = {KernelFamily::ampere, KernelFamily::hopper};

std::string name(KernelFamily family) {
  return family == KernelFamily::hopper ? "kernels for 9.0" : "kernels for 8.0";
}

Problem causal(int64_t queries, int64_t keys, int64_t width = 64) {
  Problem p;
  p.queries = queries, p.keys = keys, p.width = width, p.causal = true;
  p.scale = 1 / std::sqrt(static_cast<double>(width));
  return p;
}

TEST_CASE("causal cuda attention: lengths on both sides of every tile") {
  reset_emulation_report();
  for (const auto kind : kKinds)
    for (const int64_t length : {1, 2, 63, 64, 65, 127, 128, 129, 200}) {
      auto p = causal(length, length, length % 3 == 0 ? 64 : 40);
      p.kind = kind, p.type = length % 2 ? HalfType::fp16 : HalfType::bf16;
      for (const auto family : kFamilies) {
        const Family chosen(family);
        INFO(name(family));
        check_against_definition(p);
      }
    }
  CHECK(emulation_report().conflicting_loads == 0);
}

TEST_CASE("causal cuda attention: every width and type") {
  for (const auto kind : kKinds)
    for (const auto type : {HalfType::bf16, HalfType::fp16})
      for (const int64_t width : {32, 64, 72, 96, 128}) {
        auto p = causal(77, 77, width);
        p.kind = kind, p.type = type;
        check_against_definition(p);
      }
}

TEST_CASE("causal cuda attention: one token and several against a cache") {
  struct Lengths {
    int64_t queries, keys;
  };
  for (const auto kind : kKinds)
    for (const auto family : kFamilies) {
      const Family chosen(family);
      // One token sees all; offsets that are no multiple of 16; more queries than a block has.
      for (const auto& [queries, keys] : std::vector<Lengths>{{1, 1},
                                                              {1, 2},
                                                              {1, 64},
                                                              {1, 133},
                                                              {2, 65},
                                                              {5, 133},
                                                              {33, 34},
                                                              {64, 100},
                                                              {65, 200},
                                                              {129, 150},
                                                              {140, 269}}) {
        auto p = causal(queries, keys);
        p.kind = kind;
        INFO(name(family));
        check_against_definition(p);
      }
    }
}

TEST_CASE("causal cuda attention: batch and heads, and a result that depends on neither") {
  for (const auto family : kFamilies) {
    const Family chosen(family);
    auto p = causal(97, 130);
    p.batch = 2, p.heads = 3;
    check_against_definition(p);
    Case all(p);
    all.run();
    p.batch = p.heads = 1;
    Case one(p);
    for (int part = 0; part < 3; ++part)
      for (int64_t t = 0; t < (part == 0 ? 97 : 130); ++t)
        for (int64_t d = 0; d < p.width; ++d)
          one.qkv.set(one.at(part, 0, 0, t) + d, all.qkv.get(all.at(part, 1, 2, t) + d));
    attention_forward(one.forward_call(), nullptr);
    for (int64_t t = 0; t < 97; ++t)
      for (int64_t d = 0; d < p.width; ++d)
        REQUIRE(one.out.get(one.out_at(0, 0, t) + d) == all.out.get(all.out_at(1, 2, t) + d));
  }
}

TEST_CASE(
    "causal cuda attention: rows of scores that are all negative, all zero, or of both signs") {
  for (const auto kind : kKinds)
    for (const auto family : kFamilies)
      for (const int64_t offset : {0, 21}) {
        const Family chosen(family);
        auto p = causal(83, 83 + offset);
        p.kind = kind;
        Case c(p);
        // All keys in one half space: a query on its other side has negative scores alone.
        for (int64_t t = 0; t < p.keys; ++t)
          for (int64_t d = 0; d < p.width; ++d) {
            const int64_t i = c.at(1, 0, 0, t) + d;
            c.qkv.set(i, std::abs(c.qkv.get(i)));
          }
        for (int64_t t = 0; t < p.queries; ++t)
          for (int64_t d = 0; d < p.width; ++d) {
            const int64_t i = c.at(0, 0, 0, t) + d;
            const double x = c.qkv.get(i);
            if (t % 3 != 2) c.qkv.set(i, t % 3 == 0 ? -std::abs(x) : std::abs(x));
            if (t % 16 == 5) c.qkv.set(i, t % 2 ? 0.0 : -0.0);
          }
        INFO(name(family) << ", offset " << offset);
        c.run();
        check_results(c);
        // A Cog row of negative scores alone is minus softmax(|s|), here of values that are 1.
        if (kind != ScoreKind::cog) continue;
        for (int64_t t = 0; t < p.keys; ++t)
          for (int64_t d = 0; d < p.width; ++d) c.qkv.set(c.at(2, 0, 0, t) + d, 1);
        attention_forward(c.forward_call(), nullptr);
        for (int64_t t = 0; t < p.queries; t += 3)
          REQUIRE(c.out.get(c.out_at(0, 0, t)) == Approx(t % 16 == 5 ? 0. : -1.).margin(0.02));
      }
}

TEST_CASE("causal cuda attention: what is hidden has no influence, whatever its size") {
  for (const auto kind : kKinds)
    for (const auto family : kFamilies) {
      const Family chosen(family);
      auto p = causal(130, 150);
      p.kind = kind;
      Case plain(p), loud(p);
      // The last key is hidden from all but the last query, and would outweigh all others.
      for (int64_t d = 0; d < p.width; ++d) {
        loud.qkv.set(loud.at(1, 0, 0, 149) + d, 1e4);
        loud.qkv.set(loud.at(2, 0, 0, 149) + d, 3e4);
      }
      attention_forward(plain.forward_call(), nullptr);
      attention_forward(loud.forward_call(), nullptr);
      INFO(name(family));
      for (int64_t i = 0; i < 129 * p.width; ++i) REQUIRE(loud.out.get(i) == plain.out.get(i));
      // Its gradient comes from the last query alone.
      for (int64_t i = 129 * p.width; i < 130 * p.width; ++i) loud.grad_out.set(i, 0);
      attention_backward(loud.backward_call(), nullptr);
      for (const int part : {1, 2})
        for (int64_t d = 0; d < p.width; ++d)
          REQUIRE(loud.grad_qkv.get(loud.at(part, 0, 0, 149) + d) == 0);
      for (int part = 0; part < 3; ++part)
        for (const double x : gradient(loud, part)) REQUIRE(std::isfinite(x));
    }
}

TEST_CASE("causal cuda attention: further tokens change no bit of whole blocks before them") {
  for (const auto family : kFamilies) {
    const Family chosen(family);
    Case longer(causal(256, 256)), shorter(causal(128, 128));
    for (int part = 0; part < 3; ++part)
      for (int64_t i = 0; i < 128; ++i)
        for (int64_t d = 0; d < 64; ++d)
          shorter.qkv.set(shorter.at(part, 0, 0, i) + d,
                          longer.qkv.get(longer.at(part, 0, 0, i) + d));
    attention_forward(longer.forward_call(), nullptr);
    attention_forward(shorter.forward_call(), nullptr);
    for (int64_t i = 0; i < 128 * 64; ++i) REQUIRE(longer.out.get(i) == shorter.out.get(i));
  }
}

TEST_CASE("causal cuda attention: all orders of threads give the same bits") {
  for (const auto family : kFamilies)
    for (const int64_t queries : {17, 161}) {
      const Family chosen(family);
      auto p = causal(queries, queries + 9);
      p.heads = 2;
      check_thread_orders(p);
    }
}

// ---- tiles that are skipped -----------------------------------------------------------------------

struct Work {
  int64_t products, copies;
};
template <class Run>
Work work_of(const Run& run) {
  reset_emulation_report();
  run();
  return {emulation_report().multiply_adds, emulation_report().copies};
}

/// How many tiles of queries by keys hold a visible pair. The queries of a tile are those of a
/// warp, or of a warpgroup: `rows` of them from each of `starts` on, again in each block of 128.
int64_t visible_tiles(int64_t length,
                      const std::vector<std::vector<int64_t>>& starts,
                      int64_t rows,
                      int64_t keys) {
  int64_t count = 0;
  for (int64_t block = 0; block < length; block += 128)
    for (const auto& warp : starts) {
      const int64_t last = block + *std::max_element(warp.begin(), warp.end()) + rows - 1;
      for (int64_t key = 0; key < length; key += keys) count += key <= last;
    }
  return count;
}

TEST_CASE("causal cuda attention: tiles that no query sees are neither read nor multiplied") {
  constexpr int64_t kLength = 512, kBlocks = kLength / 128, kChunks = 8;  // of 16 bytes in a row
  // Products of 16 x 8 x 16 in one product of a tile: the forward pass has two, and the gradients
  // three (of queries) and four (of keys).
  const auto check = [&](int64_t tiles, int64_t products_of_tile, bool whole) {
    auto p = causal(kLength, kLength);
    p.causal = !whole;
    Case c(p);
    const auto forward = work_of([&] { attention_forward(c.forward_call(), nullptr); });
    CHECK(forward.products == 2 * tiles * products_of_tile);
    // A block of 128 queries reads them and its keys and values; of a causal call those up to its
    // last query.
    const int64_t streamed = whole ? kBlocks * kLength : 128 * kBlocks * (kBlocks + 1) / 2;
    CHECK(forward.copies == kChunks * (kLength + 2 * streamed));
    const auto backward = work_of([&] { attention_backward(c.backward_call(), nullptr); });
    CHECK(backward.products == 7 * tiles * products_of_tile);
    // Owned and streamed rows of two matrices, for queries and for keys; the latter with row facts.
    CHECK(backward.copies == 2 * kChunks * 2 * (kLength + streamed) + streamed);
  };
  {
    const Family chosen(KernelFamily::ampere);
    // Warp w has rows 16 w and 64 + 16 w: a tile is 2 * 16 rows by 16 keys, 16 products.
    const std::vector<std::vector<int64_t>> warps = {{0, 64}, {16, 80}, {32, 96}, {48, 112}};
    check(visible_tiles(kLength, warps, 16, 16), 16, false);
    check(kBlocks * 4 * kLength / 16, 16, true);
    CHECK(visible_tiles(kLength, warps, 16, 16) < 0.58 * kBlocks * 4 * kLength / 16);
    CHECK(visible_tiles(4096, warps, 16, 16) < 0.51 * 32 * 4 * 4096 / 16);  // it tends to a half
  }
  {
    const Family chosen(KernelFamily::hopper);
    // A tile is the 64 rows of a warpgroup by 64 keys, 128 products.
    const std::vector<std::vector<int64_t>> groups = {{0}, {64}};
    check(visible_tiles(kLength, groups, 64, 64), 128, false);
    check(kBlocks * 2 * kLength / 64, 128, true);
    CHECK(visible_tiles(4096, groups, 64, 64) < 0.51 * 32 * 2 * 4096 / 64);
  }
}

TEST_CASE("causal cuda attention: a token against a cache costs what a full call does") {
  auto p = causal(1, 300);
  Case c(p);
  const auto masked = work_of([&] { attention_forward(c.forward_call(), nullptr); });
  p.causal = false;
  Case full(p);
  const auto plain = work_of([&] { attention_forward(full.forward_call(), nullptr); });
  CHECK(masked.products == plain.products);
  CHECK(elements(c.out) == elements(full.out));
}

TEST_CASE("causal cuda attention: shared memory is that of the full kernels") {
  for (const auto family : kFamilies)
    for (const int64_t width : {64, 128}) {
      const Family chosen(family);
      int64_t bytes[2];
      for (const bool masked : {false, true}) {
        auto p = causal(129, 129, width);
        p.causal = masked;
        Case c(p);
        reset_emulation_report();
        c.run();
        bytes[masked] = emulation_report().largest_shared_bytes;
      }
      CHECK(bytes[0] == bytes[1]);
    }
}

TEST_CASE("causal cuda attention: fewer keys than queries are refused") {
  Case c(causal(3, 5));
  auto call = c.forward_call();
  CHECK(refusal(call) == nullptr);
  call.keys = 2;
  CHECK(std::string(refusal(call)).find("fewer keys") != std::string::npos);
  CHECK_THROWS_AS(attention_forward(call, nullptr), std::invalid_argument);
  call.causal = false;
  CHECK(refusal(call) == nullptr);
}

}  // namespace
}  // namespace uvic::model::cuda
