// The attention and optimiser kernels on a real GPU, without LibTorch: are they right, how fast are
// they?
//
//     nvcc -std=c++17 -O3 -I. -gencode=arch=compute_90a,code=sm_90a bench/gpu/attention_gpu.cu \
//       model/kernels/cuda/attention_cuda.cu model/kernels/cuda/attention_cuda_grad.cu -o
//       attention_gpu &&
//       ./attention_gpu [--quick] > a.json
//
// First every kernel instance meets the definition in float64 (a few lengths, all padded widths,
// both weights and types); then medians of graph-free launches, timed by events, three input sets
// in turn so that no run finds its input in the cache. --quick, for sanitizers: one length and no
// times. Exit code 1 where a result is wrong.
#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "model/kernels/cuda/attention_cuda.h"

using namespace uvic::model;
using namespace uvic::model::cuda;

namespace {

void must(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(status));
  std::exit(1);
}

uint16_t to_half(HalfType type, float x) {
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
double to_double(HalfType type, uint16_t bits) {
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

struct Shape {
  ScoreKind kind;
  HalfType type;
  int64_t batch, heads, tokens, width;
  double scale() const { return 1 / std::sqrt(static_cast<double>(width)); }
  int64_t out_count() const { return batch * tokens * heads * width; }
};

/// qkv [batch, tokens, 3, heads, width] and what belongs to it, on the device.
struct Tensors {
  Shape s;
  uint16_t *qkv, *out, *grad_out, *grad_qkv;
  float *stats, *facts;

  explicit Tensors(const Shape& shape, unsigned seed) : s(shape) {
    const int64_t n = s.out_count(), rows = s.batch * s.heads * s.tokens;
    must(cudaMalloc(&qkv, 3 * n * 2), "cudaMalloc");
    must(cudaMalloc(&grad_qkv, 3 * n * 2), "cudaMalloc");
    must(cudaMalloc(&out, n * 2), "cudaMalloc");
    must(cudaMalloc(&grad_out, n * 2), "cudaMalloc");
    must(cudaMalloc(&stats, rows * 8), "cudaMalloc");
    must(cudaMalloc(&facts, rows * 16), "cudaMalloc");
    fill(qkv, 3 * n, seed);
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
    const int64_t n = s.out_count(), rows = s.batch * s.heads * s.tokens;
    must(cudaMemset(out, 0xff, n * 2), "cudaMemset");
    must(cudaMemset(grad_qkv, 0xff, 3 * n * 2), "cudaMemset");
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
    return {x, s.tokens * line, s.width, line};
  }
  AttentionForward forward() const {
    AttentionForward call{};
    call.kind = s.kind, call.type = s.type, call.batch = s.batch, call.heads = s.heads;
    call.queries = call.keys = s.tokens, call.width = s.width;
    call.scale = static_cast<float>(s.scale());
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

std::vector<double> fetch(HalfType type, const uint16_t* from, int64_t count) {
  std::vector<uint16_t> words(count);
  must(cudaMemcpy(words.data(), from, count * 2, cudaMemcpyDeviceToHost), "cudaMemcpy");
  std::vector<double> numbers(count);
  for (int64_t i = 0; i < count; ++i) numbers[i] = to_double(type, words[i]);
  return numbers;
}

/// Relative L2 distances of out and of the gradients of q, k and v from the definition.
struct Distances {
  double out = 0, q = 0, k = 0, v = 0;
  double worst() const {
    for (const double x : {out, q, k, v})
      if (!(x == x)) return std::numeric_limits<double>::infinity();
    return std::max({out, q, k, v});
  }
};

Distances distances(const Tensors& t) {
  const Shape& s = t.s;
  const int64_t n = s.out_count(), line = s.heads * s.width;
  const auto qkv = fetch(s.type, t.qkv, 3 * n), go = fetch(s.type, t.grad_out, n),
             out = fetch(s.type, t.out, n), grads = fetch(s.type, t.grad_qkv, 3 * n);
  std::vector<double> right_out(n, 0), right(3 * n, 0);
  const auto at = [&](int part, int64_t b, int64_t h, int64_t token) {
    return ((b * s.tokens + token) * 3 + part) * line + h * s.width;
  };
  const bool cog = s.kind == ScoreKind::cog;
  std::vector<double> x(s.tokens), w(s.tokens), g(s.tokens);
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.heads; ++h)
      for (int64_t i = 0; i < s.tokens; ++i) {
        double top = -1e300, sum = 0, dot = 0;
        for (int64_t j = 0; j < s.tokens; ++j) {
          x[j] = 0;
          for (int64_t d = 0; d < s.width; ++d)
            x[j] += qkv[at(0, b, h, i) + d] * qkv[at(1, b, h, j) + d];
          x[j] *= s.scale();
          top = std::max(top, cog ? std::abs(x[j]) : x[j]);
        }
        for (int64_t j = 0; j < s.tokens; ++j)
          sum += w[j] = std::exp((cog ? std::abs(x[j]) : x[j]) - top);
        const int64_t o = (b * s.tokens + i) * line + h * s.width;
        const auto sign = [&](int64_t j) { return cog ? (x[j] > 0) - (x[j] < 0) : 1; };
        for (int64_t j = 0; j < s.tokens; ++j) {
          w[j] /= sum, g[j] = 0;
          for (int64_t d = 0; d < s.width; ++d) {
            right_out[o + d] += sign(j) * w[j] * qkv[at(2, b, h, j) + d];
            g[j] += go[o + d] * qkv[at(2, b, h, j) + d];
          }
          dot += sign(j) * w[j] * g[j];
        }
        for (int64_t j = 0; j < s.tokens; ++j) {
          const double ds = sign(j) == 0 ? 0 : w[j] * (g[j] - sign(j) * dot) * s.scale();
          for (int64_t d = 0; d < s.width; ++d) {
            right[at(0, b, h, i) + d] += ds * qkv[at(1, b, h, j) + d];
            right[at(1, b, h, j) + d] += ds * qkv[at(0, b, h, i) + d];
            right[at(2, b, h, j) + d] += sign(j) * w[j] * go[o + d];
          }
        }
      }
  double square[4] = {}, size[4] = {};
  for (int64_t i = 0; i < n; ++i) {
    square[0] += (out[i] - right_out[i]) * (out[i] - right_out[i]);
    size[0] += right_out[i] * right_out[i];
  }
  for (int64_t i = 0; i < 3 * n; ++i) {
    const int part = 1 + static_cast<int>(i / line % 3);
    square[part] += (grads[i] - right[i]) * (grads[i] - right[i]);
    size[part] += right[i] * right[i];
  }
  const auto distance = [&](int i) { return std::sqrt(square[i] / (size[i] > 0 ? size[i] : 1)); };
  return {distance(0), distance(1), distance(2), distance(3)};
}

template <class Run>
double median_ms(int calls, const Run& run) {
  cudaEvent_t start, end;
  must(cudaEventCreate(&start), "cudaEventCreate");
  must(cudaEventCreate(&end), "cudaEventCreate");
  for (int i = 0; i < 5; ++i) run(i);
  std::vector<float> times(calls);
  for (int i = 0; i < calls; ++i) {
    must(cudaEventRecord(start), "cudaEventRecord");
    run(i);
    must(cudaEventRecord(end), "cudaEventRecord");
    must(cudaEventSynchronize(end), "cudaEventSynchronize");
    must(cudaEventElapsedTime(&times[i], start, end), "cudaEventElapsedTime");
  }
  std::nth_element(times.begin(), times.begin() + calls / 2, times.end());
  return times[calls / 2];
}

/// JSON has no word for what is not finite.
std::string json(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2e", x);
  return std::isfinite(x) ? text : "null";
}

const char* name(ScoreKind kind) { return kind == ScoreKind::cog ? "cog" : "softmax"; }
const char* name(KernelFamily family) {
  return family == KernelFamily::ampere ? "ampere" : "automatic";
}
const char* name(HalfType type) { return type == HalfType::bf16 ? "bf16" : "fp16"; }

/// Prints how far each instance is from the definition; returns whether all are near enough.
bool check_all(const std::vector<int64_t>& lengths) {
  bool first = true, right = true;
  // Every width by the kernels that serve it here, and those of attention_hopper_tiles.cuh by the
  // others too.
  struct Checked {
    KernelFamily family;
    int64_t width;
  };
  std::vector<Checked> checked;
  for (const int64_t width : {32, 40, 64, 72, 96, 128})
    checked.push_back({KernelFamily::automatic, width});
  for (const int64_t width : {40, 64}) checked.push_back({KernelFamily::ampere, width});
  for (const auto kind : {ScoreKind::softmax, ScoreKind::cog})
    for (const auto type : {HalfType::bf16, HalfType::fp16})
      for (const auto& [family, width] : checked)
        for (const int64_t tokens : lengths) {
          choose_kernels(family);
          Tensors t({kind, type, 2, 2, tokens, width}, static_cast<unsigned>(tokens + width));
          attention_forward(t.forward(), nullptr);
          attention_backward(t.backward(), nullptr);
          must(cudaDeviceSynchronize(), "attention");
          const auto d = distances(t);
          const bool good = d.worst() < (type == HalfType::bf16 ? 6e-3 : 8e-4);
          right = right && good;
          std::printf(
              "%s\n  {\"kernels\": \"%s\", \"weights\": \"%s\", \"type\": \"%s\", \"tokens\": %d, "
              "\"width\": %d, "
              "\"out\": %s, \"q\": %s, \"k\": %s, \"v\": %s, \"right\": %s}",
              first ? "" : ",",
              name(family),
              name(kind),
              name(type),
              static_cast<int>(tokens),
              static_cast<int>(width),
              json(d.out).c_str(),
              json(d.q).c_str(),
              json(d.k).c_str(),
              json(d.v).c_str(),
              good ? "true" : "false");
          first = false;
        }
  return right;
}

struct Size {
  int64_t batch, heads, tokens, width;
};

/// Prints the medians of each size.
void time_all(const std::vector<Size>& sizes) {
  bool first = true;
  for (const auto& size : sizes)
    for (const auto& [family, kind] : std::vector<std::pair<KernelFamily, ScoreKind>>{
             {KernelFamily::automatic, ScoreKind::softmax},
             {KernelFamily::automatic, ScoreKind::cog},
             {KernelFamily::ampere, ScoreKind::cog}}) {
      if (family == KernelFamily::ampere && size.width != 64) continue;
      choose_kernels(family);
      const Shape shape{kind, HalfType::bf16, size.batch, size.heads, size.tokens, size.width};
      Tensors a(shape, 1), b(shape, 2), c(shape, 3);
      const Tensors* sets[] = {&a, &b, &c};
      const double forward =
          median_ms(30, [&](int i) { attention_forward(sets[i % 3]->forward(), nullptr); });
      const double backward =
          median_ms(30, [&](int i) { attention_backward(sets[i % 3]->backward(), nullptr); });
      const double products =
          4.0 * size.batch * size.heads * size.tokens * size.tokens * size.width;
      std::printf(
          "%s\n  {\"kernels\": \"%s\", \"weights\": \"%s\", \"shape\": [%d, %d, %d, %d], "
          "\"forward_ms\": %.4f, "
          "\"backward_ms\": %.4f, \"forward_tflops\": %.1f, \"backward_tflops\": %.1f}",
          first ? "" : ",",
          name(family),
          name(kind),
          static_cast<int>(size.batch),
          static_cast<int>(size.heads),
          static_cast<int>(size.tokens),
          static_cast<int>(size.width),
          forward,
          backward,
          products / forward * 1e-9,
          2.5 * products / backward * 1e-9);
      first = false;
    }
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::strcmp(argv[1], "--quick") == 0;
  if (argc > 1 && !quick) {
    std::fprintf(stderr, "usage: attention_gpu [--quick]\n");
    return 2;
  }
  cudaDeviceProp device;
  must(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  std::vector<int64_t> lengths = {1, 17, 65, 128, 257, 334};
  if (quick) lengths = {65};
  std::vector<Size> sizes = {{64, 8, 257, 64},
                             {256, 8, 257, 64},
                             {16, 16, 1024, 64},
                             {64, 16, 1024, 64},
                             {8, 16, 4096, 64},
                             {64, 16, 257, 72},
                             {64, 8, 257, 32},
                             {64, 8, 257, 128}};
  if (quick) sizes.clear();
  std::printf("{\"device\": \"%s\",\n \"correct\": [", device.name);
  const bool right = check_all(lengths);
  std::printf("],\n \"times\": [");
  time_all(sizes);
  std::printf("],\n \"all_right\": %s}\n", right ? "true" : "false");
  return right ? 0 : 1;
}
