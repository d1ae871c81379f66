// The CUDA attention kernels, run on the CPU: the same source, its threads as fibers
// (cuda_block_host.h).
#include "model/kernels/cuda/attention_cuda.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "model/kernels/cuda/cuda_block.cuh"
#include "tests/support/catch.h"

namespace uvic::model::cuda {
namespace {

using Doubles = std::vector<double>;

/// Memory as cudaMalloc gives it: aligned, with NaN on both sides of what a kernel may read.
class Halves {
 public:
  Halves(HalfType type, int64_t count)
      : type_(type), count_(count), words_(count + 2 * kGap, nan()) {
    const auto at = reinterpret_cast<uintptr_t>(words_.data());
    offset_ = kGap / 2 + static_cast<int64_t>((64 - at % 64) % 64 / 2);
  }
  uint16_t* data() { return words_.data() + offset_; }
  int64_t size() const { return count_; }
  void set(int64_t i, double x) {
    const auto narrow = static_cast<float>(x);
    data()[i] = static_cast<uint16_t>(type_ == HalfType::bf16 ? Bf16::pack(narrow, 0)
                                                              : Fp16::pack(narrow, 0));
  }
  double get(int64_t i) {
    return type_ == HalfType::bf16 ? Bf16::low(data()[i]) : Fp16::low(data()[i]);
  }
  bool untouched(int64_t i) { return data()[i] == nan(); }
  /// Whether nothing was written before or after the elements.
  bool fences_stand() {
    for (int64_t i = 0; i < static_cast<int64_t>(words_.size()); ++i)
      if ((i < offset_ || i >= offset_ + count_) && words_[i] != nan()) return false;
    return true;
  }

 private:
  static uint16_t nan() { return 0x7fff; }
  static constexpr int64_t kGap = 4096;
  HalfType type_;
  int64_t count_, offset_;
  std::vector<uint16_t> words_;
};

struct Problem {
  ScoreKind kind = ScoreKind::cog;
  HalfType type = HalfType::bf16;
  int64_t batch = 1, heads = 1, queries = 1, keys = 1, width = 64;
  double scale = 0.125;
  double score_scale = 1;  ///< standard deviation of q and k
};

/// q, k, v, out as [batch, tokens, 3, heads, width] views and the same for gradients; results in
/// float64.
struct Case {
  Problem p;
  int64_t tokens;
  Halves qkv, out, grad_out, grad_qkv;
  std::vector<float> stats, facts_memory;

  explicit Case(const Problem& problem, uint64_t seed = 1)
      : p(problem),
        tokens(std::max(p.queries, p.keys)),
        qkv(p.type, p.batch * tokens * 3 * p.heads * p.width),
        out(p.type, p.batch * p.queries * p.heads * p.width),
        grad_out(p.type, p.batch * p.queries * p.heads * p.width),
        grad_qkv(p.type, p.batch * tokens * 3 * p.heads * p.width),
        stats(p.batch * p.heads * p.queries * 2, std::nanf("")),
        facts_memory(p.batch * p.heads * p.queries * 4 + 16, std::nanf("")) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    for (int64_t b = 0; b < p.batch; ++b)
      for (int part = 0; part < 3; ++part)
        for (int64_t h = 0; h < p.heads; ++h)
          for (int64_t t = 0; t < (part == 0 ? p.queries : p.keys); ++t)
            for (int64_t d = 0; d < p.width; ++d)
              qkv.set(at(part, b, h, t) + d, normal(random) * (part < 2 ? p.score_scale : 1));
    for (int64_t i = 0; i < grad_out.size(); ++i) grad_out.set(i, normal(random));
  }

  int64_t at(int part, int64_t b, int64_t h, int64_t t) const {
    return (((b * tokens + t) * 3 + part) * p.heads + h) * p.width;
  }
  int64_t out_at(int64_t b, int64_t h, int64_t t) const {
    return ((b * p.queries + t) * p.heads + h) * p.width;
  }

  template <class Void>
  TokenRows<Void> part_rows(Halves& x, int part) {
    return {x.data() + part * p.heads * p.width,
            tokens * 3 * p.heads * p.width,
            p.width,
            3 * p.heads * p.width};
  }
  template <class Void>
  TokenRows<Void> out_rows(Halves& x) {
    return {x.data(), p.queries * p.heads * p.width, p.width, p.heads * p.width};
  }

  AttentionForward forward_call() {
    AttentionForward call{};
    call.kind = p.kind, call.type = p.type;
    call.batch = p.batch, call.heads = p.heads;
    call.queries = p.queries, call.keys = p.keys, call.width = p.width;
    call.scale = static_cast<float>(p.scale);
    call.q = part_rows<const void>(qkv, 0);
    call.k = part_rows<const void>(qkv, 1);
    call.v = part_rows<const void>(qkv, 2);
    call.out = out_rows<void>(out);
    call.row_stats = stats.data();
    return call;
  }
  AttentionBackward backward_call() {
    AttentionBackward call{};
    call.forward = forward_call();
    call.grad_out = out_rows<const void>(grad_out);
    call.grad_q = part_rows<void>(grad_qkv, 0);
    call.grad_k = part_rows<void>(grad_qkv, 1);
    call.grad_v = part_rows<void>(grad_qkv, 2);
    const auto at = reinterpret_cast<uintptr_t>(facts_memory.data());
    call.row_facts = facts_memory.data() + (16 - at % 16) % 16 / 4;
    return call;
  }
  void run() {
    attention_forward(forward_call(), nullptr);
    attention_backward(backward_call(), nullptr);
  }
};

struct Answers {
  Doubles out, q, k, v;  ///< in the order of elements of out, and [batch, heads, tokens, width]
};

/// The definition and its gradients, in float64.
Answers answers(Case& c) {
  const Problem& p = c.p;
  Answers a;
  a.out.assign(c.out.size(), 0);
  a.q.assign(p.batch * p.heads * p.queries * p.width, 0);
  a.k.assign(p.batch * p.heads * p.keys * p.width, 0);
  a.v = a.k;
  const bool cog = p.kind == ScoreKind::cog;
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t h = 0; h < p.heads; ++h)
      for (int64_t i = 0; i < p.queries; ++i) {
        Doubles s(p.keys), weight(p.keys), g(p.keys);
        double largest = -std::numeric_limits<double>::infinity();
        for (int64_t j = 0; j < p.keys; ++j) {
          for (int64_t d = 0; d < p.width; ++d)
            s[j] += c.qkv.get(c.at(0, b, h, i) + d) * c.qkv.get(c.at(1, b, h, j) + d);
          s[j] *= p.scale;
          largest = std::max(largest, cog ? std::abs(s[j]) : s[j]);
        }
        double sum = 0;
        for (int64_t j = 0; j < p.keys; ++j)
          sum += weight[j] = std::exp((cog ? std::abs(s[j]) : s[j]) - largest);
        double dot = 0;
        const int64_t o = c.out_at(b, h, i);
        for (int64_t j = 0; j < p.keys; ++j) {
          weight[j] /= sum;
          const double sign = cog ? (s[j] > 0) - (s[j] < 0) : 1;
          for (int64_t d = 0; d < p.width; ++d) {
            const double v = c.qkv.get(c.at(2, b, h, j) + d);
            a.out[o + d] += sign * weight[j] * v;
            g[j] += c.grad_out.get(o + d) * v;
          }
          dot += sign * weight[j] * g[j];
        }
        const int64_t query = ((b * p.heads + h) * p.queries + i) * p.width;
        for (int64_t j = 0; j < p.keys; ++j) {
          const double sign = cog ? (s[j] > 0) - (s[j] < 0) : 1;
          const double ds = sign == 0 ? 0 : weight[j] * (g[j] - sign * dot);
          const int64_t key = ((b * p.heads + h) * p.keys + j) * p.width;
          for (int64_t d = 0; d < p.width; ++d) {
            a.q[query + d] += p.scale * ds * c.qkv.get(c.at(1, b, h, j) + d);
            a.k[key + d] += p.scale * ds * c.qkv.get(c.at(0, b, h, i) + d);
            a.v[key + d] += sign * weight[j] * c.grad_out.get(o + d);
          }
        }
      }
  return a;
}

/// |x - y| / |y|, and |x - y| where y is 0.
double distance(const Doubles& x, const Doubles& y) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    difference += (x[i] - y[i]) * (x[i] - y[i]);
    size += y[i] * y[i];
  }
  return std::sqrt(difference) / (size > 0 ? std::sqrt(size) : 1);
}

Doubles elements(Halves& x) {
  Doubles all(x.size());
  for (int64_t i = 0; i < x.size(); ++i) all[i] = x.get(i);
  return all;
}
Doubles gradient(Case& c, int part) {
  Doubles all;
  for (int64_t b = 0; b < c.p.batch; ++b)
    for (int64_t h = 0; h < c.p.heads; ++h)
      for (int64_t t = 0; t < (part == 0 ? c.p.queries : c.p.keys); ++t)
        for (int64_t d = 0; d < c.p.width; ++d)
          all.push_back(c.grad_qkv.get(c.at(part, b, h, t) + d));
  return all;
}

/// A few roundings to 8 (bf16) or 11 bits (fp16) on the way: weights, score gradients, the result.
double tolerance(HalfType type) { return type == HalfType::bf16 ? 6e-3 : 8e-4; }

std::string name_of(const Problem& p) {
  return std::string(p.kind == ScoreKind::cog ? "cog" : "softmax") +
         (p.type == HalfType::bf16 ? " bf16" : " fp16") + " batch " + std::to_string(p.batch) +
         " heads " + std::to_string(p.heads) + " queries " + std::to_string(p.queries) + " keys " +
         std::to_string(p.keys) + " width " + std::to_string(p.width);
}

void check_against_definition(const Problem& p, double slack = 1) {
  INFO(name_of(p));
  Case c(p, 7 + p.queries + p.width);
  c.run();
  const auto right = answers(c);
  const double allowed = tolerance(p.type) * slack;
  CHECK(distance(elements(c.out), right.out) < allowed);
  CHECK(distance(gradient(c, 0), right.q) < allowed);
  CHECK(distance(gradient(c, 1), right.k) < allowed);
  CHECK(distance(gradient(c, 2), right.v) < allowed);
  CHECK(c.out.fences_stand());
  CHECK(c.grad_qkv.fences_stand());
}

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
    std::vector<Doubles> seen;
    for (const auto order :
         {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::interleaved}) {
      set_thread_order(order, 5);
      Case c(p);
      c.run();
      seen.push_back(elements(c.out));
      for (int part = 0; part < 3; ++part)
        for (const double x : gradient(c, part)) seen.back().push_back(x);
    }
    set_thread_order(ThreadOrder::forward);
    CHECK(seen[0] == seen[1]);
    CHECK(seen[0] == seen[2]);
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
