#include "model/kernels/cuda/row_cuda.h"

#include "model/kernels/cuda/row_cuda_words.cuh"

namespace uvic::model::cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kChunk = 128;  // elements of a row that a warp takes at once, four a lane

/// A number of blocks that gives each warp a few rows. It depends on the shape alone.
int64_t blocks_for(int64_t rows) {
  const int64_t all = (rows + kWarps - 1) / kWarps;
  return all < kMostSlices ? all : kMostSlices;
}

struct NormRows {
  NormCall call;
  int64_t blocks;
};

template <int kChunks>
UVIC_KERNEL(kThreads, 4)
norm_kernel(const NormRows job) {
  const NormCall& c = job.call;
  const float inverse = 1.f / static_cast<float>(c.width);
  for (int64_t row = block_index().x * kWarps + warp(); row < c.rows; row += job.blocks * kWarps) {
    Four s[kChunks];
    float sum = 0;
    UVIC_UNROLL
    for (int j = 0; j < kChunks; ++j) {
      const int i = j * kChunk + lane() * 4;
      s[j] = {0, 0, 0, 0};
      if (i >= c.width) continue;
      const int64_t at = row * c.width + i;
      if (c.x) s[j] = load_four(c.x + at);
      if (c.add) s[j] = plus(s[j], load_four(c.add + at));
      sum += total(s[j]);
    }
    const float mean = sum_of_warp(sum) * inverse;
    float square = 0;
    UVIC_UNROLL
    for (int j = 0; j < kChunks; ++j) {
      if (j * kChunk + lane() * 4 >= c.width) continue;
      const float a = s[j].a - mean, b = s[j].b - mean, d = s[j].c - mean, e = s[j].d - mean;
      square += (a * a + b * b) + (d * d + e * e);
    }
    const float scale = 1.f / root(sum_of_warp(square) * inverse + c.epsilon);
    UVIC_UNROLL
    for (int j = 0; j < kChunks; ++j) {
      const int i = j * kChunk + lane() * 4;
      if (i >= c.width) continue;
      const int64_t at = row * c.width + i;
      const Four w = load_four(c.weight + i), b = load_four(c.bias + i);
      if (c.sum) store_four(c.sum + at, s[j]);
      store_four(c.out + at,
                 Four{(s[j].a - mean) * scale * w.a + b.a,
                      (s[j].b - mean) * scale * w.b + b.b,
                      (s[j].c - mean) * scale * w.c + b.c,
                      (s[j].d - mean) * scale * w.d + b.d});
    }
    if (c.stats && lane() == 0) *reinterpret_cast<Pair*>(c.stats + 2 * row) = Pair{mean, scale};
  }
}

struct NormGradRows {
  NormGradCall call;
  int64_t blocks;
};

/// The sum of x over the warps of a block, lane by lane, in warp 0.
UVIC_DEVICE Four sum_of_warps(const Four& x) {
  const auto at = [](int w) { return static_cast<uint32_t>((w * 32 + lane()) * 16); };
  sync_threads();
  if (warp() > 0) shared_store<Four>(at(warp()), x);
  sync_threads();
  Four sum = x;
  if (warp() == 0)
    for (int w = 1; w < kWarps; ++w) sum = plus(sum, shared_load<Four>(at(w)));
  return sum;
}

/// (s - mean) * scale
UVIC_DEVICE Four standardised(const Four& s, const Pair& stats) {
  return {(s.a - stats.a) * stats.b,
          (s.b - stats.a) * stats.b,
          (s.c - stats.a) * stats.b,
          (s.d - stats.a) * stats.b};
}

template <int kChunks>
UVIC_KERNEL(kThreads, kChunks <= 4 ? 4 : 2)
norm_grad_kernel(const NormGradRows job) {
  const NormGradCall& c = job.call;
  const float inverse = 1.f / static_cast<float>(c.width);
  const Four zero = {0, 0, 0, 0};
  Four weights[kChunks], biases[kChunks], columns[kChunks];
  UVIC_UNROLL
  for (int j = 0; j < kChunks; ++j) weights[j] = biases[j] = columns[j] = zero;

  for (int64_t row = block_index().x * kWarps + warp(); row < c.rows; row += job.blocks * kWarps) {
    const Pair stats = *reinterpret_cast<const Pair*>(c.stats + 2 * row);
    Four normal[kChunks], slope[kChunks];
    float sum = 0, product = 0;
    UVIC_UNROLL
    for (int j = 0; j < kChunks; ++j) {
      const int i = j * kChunk + lane() * 4;
      normal[j] = slope[j] = zero;
      if (i >= c.width) continue;
      const int64_t at = row * c.width + i;
      const Four s = load_four(c.s + at), g = load_four(c.grad + at), w = load_four(c.weight + i);
      const Four n = standardised(s, stats);
      weights[j] = plus(weights[j], Four{g.a * n.a, g.b * n.b, g.c * n.c, g.d * n.d});
      biases[j] = plus(biases[j], g);
      const Four d = {g.a * w.a, g.b * w.b, g.c * w.c, g.d * w.d};
      sum += total(d);
      product += total(Four{d.a * n.a, d.b * n.b, d.c * n.c, d.d * n.d});
      normal[j] = n;
      slope[j] = d;
    }
    const float mean = sum_of_warp(sum) * inverse, tilt = sum_of_warp(product) * inverse;
    UVIC_UNROLL
    for (int j = 0; j < kChunks; ++j) {
      const int i = j * kChunk + lane() * 4;
      if (i >= c.width) continue;
      const int64_t at = row * c.width + i;
      const Four& n = normal[j];
      const Four& d = slope[j];
      const Four dx = plus(load_four(c.residual + at),
                           Four{stats.b * (d.a - mean - n.a * tilt),
                                stats.b * (d.b - mean - n.b * tilt),
                                stats.b * (d.c - mean - n.c * tilt),
                                stats.b * (d.d - mean - n.d * tilt)});
      store_four(c.dx + at, dx);
      store_four(c.dx_narrow + at, dx);
      columns[j] = plus(columns[j], dx);
    }
  }

  float* const partial = c.partial + static_cast<int64_t>(block_index().x) * 3 * c.width;
  UVIC_UNROLL
  for (int j = 0; j < kChunks; ++j) {
    const int i = j * kChunk + lane() * 4;
    const Four w = sum_of_warps(weights[j]), b = sum_of_warps(biases[j]),
               x = sum_of_warps(columns[j]);
    if (warp() > 0 || i >= c.width) continue;
    store_four(partial + i, w);
    store_four(partial + c.width + i, b);
    store_four(partial + 2 * c.width + i, x);
  }
}

/// sums[column] = the sum of partial[0..slices)[column]
struct PartialSums {
  const float* partial;
  float* sums;
  int slices, columns;
};

constexpr int kGroups = 8;  // of slices in a block of 32 columns

UVIC_KERNEL(32 * kGroups, 4) partial_sums_kernel(const PartialSums job) {
  const int column = block_index().x * 32 + lane(), group = warp();
  float sum = 0;
  if (column < job.columns) {
    UVIC_UNROLL_TWICE
    for (int slice = group; slice < job.slices; slice += kGroups)
      sum += job.partial[static_cast<int64_t>(slice) * job.columns + column];
  }
  shared_store<float>(static_cast<uint32_t>(thread_index() * 4), sum);
  sync_threads();
  if (group > 0 || column >= job.columns) return;
  for (int g = 1; g < kGroups; ++g)
    sum += shared_load<float>(static_cast<uint32_t>((g * 32 + lane()) * 4));
  job.sums[column] = sum;
}

void add_partial_sums(
    const float* partial, float* sums, int64_t slices, int64_t columns, void* stream) {
  launch(partial_sums_kernel,
         Grid{(columns + 31) / 32, 1, 1},
         32 * kGroups,
         32 * kGroups * 4,
         stream,
         PartialSums{partial, sums, static_cast<int>(slices), static_cast<int>(columns)});
}

// Passes with a sum over rows in which a thread owns eight columns. A block takes one or more rows
// at a time: `lines` of them, each by `line_threads` threads. Every line of every block is a slice.

struct Lines {
  int line_threads, lines;
  int64_t column_blocks, row_blocks, slices;

  Lines(int64_t rows, int width) {
    const int eights = width / 8, wide = (eights + kThreads - 1) / kThreads;
    column_blocks = wide;
    line_threads = (eights + wide - 1) / wide;
    lines = kThreads / line_threads;
    const int64_t most = kMostSlices / lines, all = (rows + lines - 1) / lines;
    row_blocks = all < most ? all : most;
    slices = row_blocks * lines;
  }
};

/// What a thread of such a pass owns.
struct Share {
  int column;          ///< the first of eight; at or past the width: none
  int64_t slice, row;  ///< the first row
  bool exists;
};

template <class Job>
UVIC_DEVICE Share share_of(const Job& job, int width) {
  const int line = thread_index() / job.lines.line_threads,
            place = thread_index() % job.lines.line_threads;
  Share share;
  share.column = (block_index().x * job.lines.line_threads + place) * 8;
  share.slice = static_cast<int64_t>(block_index().y) * job.lines.lines + line;
  share.row = share.slice;
  share.exists = line < job.lines.lines && share.column < width;
  return share;
}

struct NarrowRows {
  NarrowCall call;
  Lines lines;
};

UVIC_KERNEL(kThreads, 8) narrow_kernel(const NarrowRows job) {
  const NarrowCall& c = job.call;
  const Share share = share_of(job, c.width);
  if (!share.exists) return;
  Four low = {0, 0, 0, 0}, high = {0, 0, 0, 0};
  const int64_t step = job.lines.slices;
  UVIC_UNROLL_TWICE
  for (int64_t row = share.row; row < c.rows; row += step) {
    const float* const x = c.x + row * c.width + share.column;
    const Four a = load_four(x), b = load_four(x + 4);
    low = plus(low, a);
    high = plus(high, b);
    const HalfWords left = narrow(a), right = narrow(b);
    *reinterpret_cast<Words*>(c.out + row * c.out_stride + share.column) =
        Words{{left.low, left.high, right.low, right.high}};
  }
  if (!c.partial) return;
  store_four(c.partial + share.slice * c.width + share.column, low);
  store_four(c.partial + share.slice * c.width + share.column + 4, high);
}

struct GeluGradRows {
  GeluGradCall call;
  Lines lines;
};

UVIC_DEVICE float gelu_slope(float z) {
  // phi(z) = e^(-z^2 / 2) / sqrt(2 pi)
  const float density = 0.3989422804f * exp2_fast(-0.7213475204f * z * z);
  return normal_cdf(z) + z * density;
}
UVIC_DEVICE Four gelu_slopes(const Four& z, const Four& grad) {
  return {grad.a * gelu_slope(z.a),
          grad.b * gelu_slope(z.b),
          grad.c * gelu_slope(z.c),
          grad.d * gelu_slope(z.d)};
}

UVIC_KERNEL(kThreads, 8) gelu_grad_kernel(const GeluGradRows job) {
  const GeluGradCall& c = job.call;
  const Share share = share_of(job, c.width);
  if (!share.exists) return;
  Four low = {0, 0, 0, 0}, high = {0, 0, 0, 0};
  const int64_t step = job.lines.slices;
  UVIC_UNROLL_TWICE
  for (int64_t row = share.row; row < c.rows; row += step) {
    const int64_t at = row * c.width + share.column;
    const Words z = *reinterpret_cast<const Words*>(c.z + at);
    const Words g = *reinterpret_cast<const Words*>(c.grad + at);
    const Four a = gelu_slopes(widen({z.word[0], z.word[1]}), widen({g.word[0], g.word[1]})),
               b = gelu_slopes(widen({z.word[2], z.word[3]}), widen({g.word[2], g.word[3]}));
    low = plus(low, a);
    high = plus(high, b);
    const HalfWords left = narrow(a), right = narrow(b);
    *reinterpret_cast<Words*>(c.dz + at) = Words{{left.low, left.high, right.low, right.high}};
  }
  store_four(c.partial + share.slice * c.width + share.column, low);
  store_four(c.partial + share.slice * c.width + share.column + 4, high);
}

UVIC_DEVICE uint32_t gelu_pair(uint32_t word) {
  const float a = Bf16::low(word), b = Bf16::high(word);
  return Bf16::pack(a * normal_cdf(a), b * normal_cdf(b));
}

UVIC_KERNEL(256, 4) gelu_kernel(const GeluCall c) {
  const int64_t i = (static_cast<int64_t>(block_index().x) * 256 + thread_index()) * 8;
  if (i >= c.count) return;
  Words x = *reinterpret_cast<const Words*>(c.z + i);
  UVIC_UNROLL
  for (int j = 0; j < 4; ++j) x.word[j] = gelu_pair(x.word[j]);
  *reinterpret_cast<Words*>(c.out + i) = x;
}

UVIC_KERNEL(256, 4) add_kernel(const AddCall c) {
  const int64_t i = (static_cast<int64_t>(block_index().x) * 256 + thread_index()) * 8;
  if (i >= c.count) return;
  const Words y = *reinterpret_cast<const Words*>(c.add + i);
  store_four(c.out + i, plus(load_four(c.x + i), widen({y.word[0], y.word[1]})));
  store_four(c.out + i + 4, plus(load_four(c.x + i + 4), widen({y.word[2], y.word[3]})));
}

template <int kCount>
struct Chunks {
  static constexpr int value = kCount;
};

static_assert(kWidestNorm == 9 * kChunk, "the largest instance of with_chunks()");

/// Calls body with the smallest instance that holds the width.
template <class Body>
void with_chunks(int width, const Body& body) {
  if (width <= kChunk) return body(Chunks<1>());
  if (width <= 2 * kChunk) return body(Chunks<2>());
  if (width <= 4 * kChunk) return body(Chunks<4>());
  if (width <= 6 * kChunk) return body(Chunks<6>());
  body(Chunks<9>());
}

}  // namespace

void norm_forward(const NormCall& call, void* stream) {
  // Without sums over rows, more blocks than kMostSlices are as good.
  const int64_t blocks = (call.rows + kWarps - 1) / kWarps;
  with_chunks(call.width, [&](auto chunks) {
    launch(norm_kernel<decltype(chunks)::value>,
           Grid{blocks, 1, 1},
           kThreads,
           0,
           stream,
           NormRows{call, blocks});
  });
}

void norm_backward(const NormGradCall& call, void* stream) {
  const int64_t blocks = blocks_for(call.rows);
  with_chunks(call.width, [&](auto chunks) {
    launch(norm_grad_kernel<decltype(chunks)::value>,
           Grid{blocks, 1, 1},
           kThreads,
           kThreads * 16,
           stream,
           NormGradRows{call, blocks});
  });
  add_partial_sums(call.partial, call.sums, blocks, 3 * call.width, stream);
}

void add_narrow(const AddCall& call, void* stream) {
  launch(add_kernel, Grid{(call.count + 2047) / 2048, 1, 1}, 256, 0, stream, call);
}

void narrow_rows(const NarrowCall& call, void* stream) {
  const NarrowRows job{call, Lines(call.rows, call.width)};
  launch(narrow_kernel,
         Grid{job.lines.column_blocks, job.lines.row_blocks, 1},
         kThreads,
         0,
         stream,
         job);
  if (call.partial) add_partial_sums(call.partial, call.sums, job.lines.slices, call.width, stream);
}

void gelu_forward(const GeluCall& call, void* stream) {
  launch(gelu_kernel, Grid{(call.count + 2047) / 2048, 1, 1}, 256, 0, stream, call);
}

void gelu_backward(const GeluGradCall& call, void* stream) {
  const GeluGradRows job{call, Lines(call.rows, call.width)};
  launch(gelu_grad_kernel,
         Grid{job.lines.column_blocks, job.lines.row_blocks, 1},
         kThreads,
         0,
         stream,
         job);
  add_partial_sums(call.partial, call.sums, job.lines.slices, call.width, stream);
}

}  // namespace uvic::model::cuda
