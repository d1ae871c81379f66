// The attention and optimiser kernels on a real GPU, without LibTorch: are they right, how fast are
// they?
//
//     nvcc -std=c++17 -O3 -I. -DUVIC_CUDA_HOPPER -gencode=arch=compute_90a,code=sm_90a -o attention_gpu
//       bench/gpu/attention_gpu.cu model/kernels/cuda/attention_{cuda,cuda_grad,causal,causal_grad}.cu &&
//       ./attention_gpu [--quick] > a.json
//
// First every kernel instance meets the definition in float64 (a few lengths, all padded widths,
// both weights and types, full and causal, alone and against a cache); then medians of graph-free
// launches, timed by events, three input sets in turn so that no run finds its input in the cache.
// --quick, for sanitizers: one length and no times. Exit code 1 where a result is wrong.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "bench/gpu/attention_data.h"

using namespace uvic::model;
using namespace uvic::model::cuda;

namespace {

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
  const int64_t all = 3 * s.part_count();
  const auto qkv = fetch(s.type, t.qkv, all), go = fetch(s.type, t.grad_out, n),
             out = fetch(s.type, t.out, n), grads = fetch(s.type, t.grad_qkv, all);
  std::vector<double> right_out(n, 0), right(all, 0);
  const auto at = [&](int part, int64_t b, int64_t h, int64_t token) {
    return ((b * s.tokens + token) * 3 + part) * line + h * s.width;
  };
  const bool cog = s.kind == ScoreKind::cog;
  std::vector<double> x(s.tokens), w(s.tokens), g(s.tokens);
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.heads; ++h)
      for (int64_t i = 0; i < s.queries; ++i) {
        const int64_t seen = s.seen(i);
        double top = -1e300, sum = 0, dot = 0;
        for (int64_t j = 0; j < seen; ++j) {
          x[j] = 0;
          for (int64_t d = 0; d < s.width; ++d)
            x[j] += qkv[at(0, b, h, i) + d] * qkv[at(1, b, h, j) + d];
          x[j] *= s.scale();
          top = std::max(top, cog ? std::abs(x[j]) : x[j]);
        }
        for (int64_t j = 0; j < seen; ++j)
          sum += w[j] = std::exp((cog ? std::abs(x[j]) : x[j]) - top);
        const int64_t o = (b * s.queries + i) * line + h * s.width;
        const auto sign = [&](int64_t j) { return cog ? (x[j] > 0) - (x[j] < 0) : 1; };
        for (int64_t j = 0; j < seen; ++j) {
          w[j] /= sum, g[j] = 0;
          for (int64_t d = 0; d < s.width; ++d) {
            right_out[o + d] += sign(j) * w[j] * qkv[at(2, b, h, j) + d];
            g[j] += go[o + d] * qkv[at(2, b, h, j) + d];
          }
          dot += sign(j) * w[j] * g[j];
        }
        for (int64_t j = 0; j < seen; ++j) {
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
  for (int64_t i = 0; i < all; ++i) {
    const int part = 1 + static_cast<int>(i / line % 3);
    if (part == 1 && i / (3 * line) % s.tokens >= s.queries) continue;  // no query is there
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

struct Lengths {
  int64_t queries, keys;
  bool causal;
};

/// Prints how far each instance is from the definition; returns whether all are near enough.
bool check_all(const std::vector<Lengths>& lengths) {
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
        for (const auto& [queries, tokens, causal] : lengths) {
          choose_kernels(family);
          Tensors t({kind, type, 2, 2, queries, tokens, width, causal},
                    static_cast<unsigned>(tokens + width));
          attention_forward(t.forward(), nullptr);
          attention_backward(t.backward(), nullptr);
          must(cudaDeviceSynchronize(), "attention");
          const auto d = distances(t);
          const bool good = d.worst() < (type == HalfType::bf16 ? 6e-3 : 8e-4);
          right = right && good;
          std::printf(
              "%s\n  {\"kernels\": \"%s\", \"weights\": \"%s\", \"type\": \"%s\", \"causal\": "
              "%s, \"queries\": %d, \"tokens\": %d, \"width\": %d, "
              "\"out\": %s, \"q\": %s, \"k\": %s, \"v\": %s, \"right\": %s}",
              first ? "" : ",",
              name(family),
              name(kind),
              name(type),
              causal ? "true" : "false",
              static_cast<int>(queries),
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
  int64_t queries = 0;  ///< 0: all tokens
  bool causal = false;
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
      const int64_t queries = size.queries > 0 ? size.queries : size.tokens;
      const Shape shape{kind,
                        HalfType::bf16,
                        size.batch,
                        size.heads,
                        queries,
                        size.tokens,
                        size.width,
                        size.causal};
      Tensors a(shape, 1), b(shape, 2), c(shape, 3);
      const Tensors* sets[] = {&a, &b, &c};
      const double forward =
          median_ms(30, [&](int i) { attention_forward(sets[i % 3]->forward(), nullptr); });
      const double backward =
          median_ms(30, [&](int i) { attention_backward(sets[i % 3]->backward(), nullptr); });
      // Of a causal call, those of visible pairs.
      const double seen = 0.5 * static_cast<double>(shape.seen(0) + shape.seen(queries - 1));
      const double products = 4.0 * size.batch * size.heads * queries * seen * size.width;
      std::printf(
          "%s\n  {\"kernels\": \"%s\", \"weights\": \"%s\", \"shape\": [%d, %d, %d, %d], "
          "\"queries\": %d, \"causal\": %s, "
          "\"forward_ms\": %.4f, "
          "\"backward_ms\": %.4f, \"forward_tflops\": %.1f, \"backward_tflops\": %.1f}",
          first ? "" : ",",
          name(family),
          name(kind),
          static_cast<int>(size.batch),
          static_cast<int>(size.heads),
          static_cast<int>(size.tokens),
          static_cast<int>(size.width),
          static_cast<int>(queries),
          size.causal ? "true" : "false",
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
  std::vector<Lengths> lengths;
  for (const int64_t length : {1, 17, 65, 128, 257, 334})
    for (const bool causal : {false, true}) lengths.push_back({length, length, causal});
  for (const auto& [queries, keys] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 200}, {2, 65}, {5, 133}, {65, 200}, {140, 269}})
    lengths.push_back({queries, keys, true});
  if (quick) lengths = {{65, 65, false}, {129, 129, true}, {37, 150, true}};
  std::vector<Size> sizes = {{64, 8, 257, 64},
                             {256, 8, 257, 64},
                             {16, 16, 1024, 64},
                             {64, 16, 1024, 64},
                             {8, 16, 4096, 64},
                             {64, 16, 257, 72},
                             {64, 8, 257, 32},
                             {64, 8, 257, 128}};
  // Causal: half of the work of the full call above it, but for the diagonal. Then against a cache.
  for (const auto& [batch, tokens] :
       std::vector<std::pair<int64_t, int64_t>>{{64, 256}, {16, 1024}, {8, 4096}}) {
    sizes.push_back({batch, 16, tokens, 64});
    sizes.push_back({batch, 16, tokens, 64, 0, true});
  }
  for (const int64_t queries : {1, 16, 512}) sizes.push_back({16, 16, 4096, 64, queries, true});
  if (quick) sizes.clear();
  std::printf("{\"device\": \"%s\",\n \"correct\": [", device.name);
  const bool right = check_all(lengths);
  std::printf("],\n \"times\": [");
  time_all(sizes);
  std::printf("],\n \"all_right\": %s}\n", right ? "true" : "false");
  return right ? 0 : 1;
}
