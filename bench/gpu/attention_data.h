// Attention calls on a GPU for attention_gpu.cu: random inputs and memory for the results.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "model/kernels/cuda/attention_cuda.h"

namespace uvic::model::cuda {

inline void must(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(status));
  std::exit(1);
}

inline uint16_t to_half(HalfType type, float x) {
  if (type == HalfType::bf16) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
  }
  const _Float16 half = static_cast<_Float16>(x);
  uint16_t bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}
inline double to_double(HalfType type, uint16_t bits) {
  if (type == HalfType::bf16) {
    const uint32_t wide = uint32_t{bits} << 16;
    float x;
    std::memcpy(&x, &wide, 4);
    return x;
  }
  _Float16 half;
  std::memcpy(&half, &bits, 2);
  return static_cast<double>(half);
}

/// `tokens` keys, and the last `queries` of them as queries.
struct Shape {
  ScoreKind kind;
  HalfType type;
  int64_t batch, heads, queries, tokens, width;
  bool causal;
  double scale() const { return 1 / std::sqrt(static_cast<double>(width)); }
  int64_t out_count() const { return batch * queries * heads * width; }
  int64_t part_count() const { return batch * tokens * heads * width; }  ///< of q, k or v in qkv
  int64_t seen(int64_t query) const { return causal ? tokens - queries + query + 1 : tokens; }
};

/// qkv [batch, tokens, 3, heads, width], with queries in the first rows of q, and what belongs to
/// it, on the device.
struct Tensors {
  Shape s;
  uint16_t *qkv, *out, *grad_out, *grad_qkv;
  float *stats, *facts;

  explicit Tensors(const Shape& shape, unsigned seed) : s(shape) {
    const int64_t n = s.out_count(), all = 3 * s.part_count(), rows = n / s.width;
    must(cudaMalloc(&qkv, all * 2), "cudaMalloc");
    must(cudaMalloc(&grad_qkv, all * 2), "cudaMalloc");
    must(cudaMalloc(&out, n * 2), "cudaMalloc");
    must(cudaMalloc(&grad_out, n * 2), "cudaMalloc");
    must(cudaMalloc(&stats, rows * 8), "cudaMalloc");
    must(cudaMalloc(&facts, rows * 16), "cudaMalloc");
    fill(qkv, all, seed);
    fill(grad_out, n, seed + 1);
    poison();
  }
  ~Tensors() {
    for (void* p : {static_cast<void*>(qkv),
                    static_cast<void*>(out),
                    static_cast<void*>(grad_out),
                    static_cast<void*>(grad_qkv),
                    static_cast<void*>(stats),
                    static_cast<void*>(facts)})
      cudaFree(p);
  }
  Tensors(const Tensors&) = delete;

  /// Fresh normal numbers; long tensors repeat a block of 2^20.
  void fill(uint16_t* to, int64_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<uint16_t> block(std::min<int64_t>(count, 1 << 20));
    for (auto& x : block) x = to_half(s.type, normal(random));
    for (int64_t at = 0; at < count; at += block.size())
      must(cudaMemcpy(to + at,
                      block.data(),
                      std::min<int64_t>(count - at, block.size()) * 2,
                      cudaMemcpyHostToDevice),
           "cudaMemcpy");
  }
  /// NaN wherever a kernel should write.
  void poison() {
    const int64_t n = s.out_count(), rows = n / s.width;
    must(cudaMemset(out, 0xff, n * 2), "cudaMemset");
    must(cudaMemset(grad_qkv, 0xff, 3 * s.part_count() * 2), "cudaMemset");
    must(cudaMemset(stats, 0xff, rows * 8), "cudaMemset");
    must(cudaMemset(facts, 0xff, rows * 16), "cudaMemset");
  }
  template <class Void>
  TokenRows<Void> part(uint16_t* x, int i) const {
    const int64_t line = s.heads * s.width;
    return {x + i * line, s.tokens * 3 * line, s.width, 3 * line};
  }
  template <class Void>
  TokenRows<Void> row(uint16_t* x) const {
    const int64_t line = s.heads * s.width;
    return {x, s.queries * line, s.width, line};
  }
  AttentionForward forward() const {
    AttentionForward call{};
    call.kind = s.kind, call.type = s.type, call.batch = s.batch, call.heads = s.heads;
    call.queries = s.queries, call.keys = s.tokens, call.width = s.width;
    call.scale = static_cast<float>(s.scale()), call.causal = s.causal;
    call.q = part<const void>(qkv, 0), call.k = part<const void>(qkv, 1);
    call.v = part<const void>(qkv, 2);
    call.out = row<void>(out);
    call.row_stats = stats;
    return call;
  }
  AttentionBackward backward() const {
    AttentionBackward call{};
    call.forward = forward();
    call.grad_out = row<const void>(grad_out);
    call.grad_q = part<void>(grad_qkv, 0), call.grad_k = part<void>(grad_qkv, 1);
    call.grad_v = part<void>(grad_qkv, 2);
    call.row_facts = facts;
    return call;
  }
};

inline std::vector<double> fetch(HalfType type, const uint16_t* from, int64_t count) {
  std::vector<uint16_t> words(count);
  must(cudaMemcpy(words.data(), from, count * 2, cudaMemcpyDeviceToHost), "cudaMemcpy");
  std::vector<double> numbers(count);
  for (int64_t i = 0; i < count; ++i) numbers[i] = to_double(type, words[i]);
  return numbers;
}

}  // namespace uvic::model::cuda
