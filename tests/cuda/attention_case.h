// A call of the CUDA attention kernels on the CPU, and its answers by the definition in float64.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "model/kernels/cuda/attention_cuda.h"
#include "model/kernels/cuda/cuda_block.cuh"
#include "tests/support/catch.h"

namespace uvic::model::cuda {

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

/// Chooses the kernels for the duration of a test.
struct Family {
  explicit Family(KernelFamily family) { choose_kernels(family); }
  ~Family() { choose_kernels(KernelFamily::automatic); }
};

struct Problem {
  ScoreKind kind = ScoreKind::cog;
  HalfType type = HalfType::bf16;
  int64_t batch = 1, heads = 1, queries = 1, keys = 1, width = 64;
  double scale = 0.125;
  double score_scale = 1;  ///< standard deviation of q and k
  bool causal = false;
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
    call.scale = static_cast<float>(p.scale), call.causal = p.causal;
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
inline Answers answers(Case& c) {
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
        const int64_t seen = p.causal ? p.keys - p.queries + i + 1 : p.keys;
        Doubles s(seen), weight(seen), g(seen);
        double largest = -std::numeric_limits<double>::infinity();
        for (int64_t j = 0; j < seen; ++j) {
          for (int64_t d = 0; d < p.width; ++d)
            s[j] += c.qkv.get(c.at(0, b, h, i) + d) * c.qkv.get(c.at(1, b, h, j) + d);
          s[j] *= p.scale;
          largest = std::max(largest, cog ? std::abs(s[j]) : s[j]);
        }
        double sum = 0;
        for (int64_t j = 0; j < seen; ++j)
          sum += weight[j] = std::exp((cog ? std::abs(s[j]) : s[j]) - largest);
        double dot = 0;
        const int64_t o = c.out_at(b, h, i);
        for (int64_t j = 0; j < seen; ++j) {
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
        for (int64_t j = 0; j < seen; ++j) {
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
inline double distance(const Doubles& x, const Doubles& y) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    difference += (x[i] - y[i]) * (x[i] - y[i]);
    size += y[i] * y[i];
  }
  return std::sqrt(difference) / (size > 0 ? std::sqrt(size) : 1);
}

inline Doubles elements(Halves& x) {
  Doubles all(x.size());
  for (int64_t i = 0; i < x.size(); ++i) all[i] = x.get(i);
  return all;
}
inline Doubles gradient(Case& c, int part) {
  Doubles all;
  for (int64_t b = 0; b < c.p.batch; ++b)
    for (int64_t h = 0; h < c.p.heads; ++h)
      for (int64_t t = 0; t < (part == 0 ? c.p.queries : c.p.keys); ++t)
        for (int64_t d = 0; d < c.p.width; ++d)
          all.push_back(c.grad_qkv.get(c.at(part, b, h, t) + d));
  return all;
}

/// A few roundings to 8 (bf16) or 11 bits (fp16) on the way: weights, score gradients, the result.
inline double tolerance(HalfType type) { return type == HalfType::bf16 ? 6e-3 : 8e-4; }

inline std::string name_of(const Problem& p) {
  return std::string(p.kind == ScoreKind::cog ? "cog" : "softmax") +
         (p.type == HalfType::bf16 ? " bf16" : " fp16") + (p.causal ? " causal" : "") + " batch " +
         std::to_string(p.batch) + " heads " + std::to_string(p.heads) + " queries " +
         std::to_string(p.queries) + " keys " + std::to_string(p.keys) + " width " +
         std::to_string(p.width);
}

inline void check_results(Case& c, double slack = 1) {
  const auto right = answers(c);
  const double allowed = tolerance(c.p.type) * slack;
  CHECK(distance(elements(c.out), right.out) < allowed);
  CHECK(distance(gradient(c, 0), right.q) < allowed);
  CHECK(distance(gradient(c, 1), right.k) < allowed);
  CHECK(distance(gradient(c, 2), right.v) < allowed);
  CHECK(c.out.fences_stand());
  CHECK(c.grad_qkv.fences_stand());
}

/// In every order of threads the results and gradients have the same bits.
inline void check_thread_orders(const Problem& p) {
  INFO(name_of(p));
  std::vector<Doubles> seen;
  for (const auto order : {ThreadOrder::forward, ThreadOrder::reverse, ThreadOrder::interleaved}) {
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

inline void check_against_definition(const Problem& p, double slack = 1) {
  INFO(name_of(p));
  Case c(p, 7 + p.queries + p.width);
  c.run();
  check_results(c, slack);
}

}  // namespace uvic::model::cuda
