// Attention and its gradients for one image and head, for softmax and Cog. Only a tile of the
// queries x keys matrix is in memory. Included by isa_*.cpp only.
//
// Scores are in units of log 2: a = |s| log2(e) (softmax: s log2(e)), so that e^|s| = 2^a.
#pragma once

#include "model/kernels/cpu/kernel_table.h"
#include "model/kernels/cpu/small_products.h"

namespace uvic::model::UVIC_ISA {

constexpr int64_t kForwardQueries = 96;   // rows of a tile; a multiple of every product_height()
constexpr int64_t kBackwardQueries = 96;  // even, because a word can hold two rows
constexpr int64_t kTileKeys = 272;        // 257 = 16 * 16 + 1 keys in one tile
constexpr float kLog2E = 1.44269504f;
constexpr float kLargest = 3.402823466e38f;
/// Rows whose |a| is at most this need no maximum: their weights are from 2^-48 to 2^48.
constexpr float kSafeScore = 48.f;
constexpr int64_t kLineFloats = 16;

/// Keys per tile: an even split, in whole vectors.
UVIC_INLINE int64_t tile_keys(int64_t keys) {
  const int64_t tiles = (keys + kTileKeys - 1) / kTileKeys;
  return rounded_up((keys + tiles - 1) / tiles, kLanes);
}

/// Allocates pieces of the scratch memory. With a null pointer it only counts.
struct Scratch {
  float* base;
  int64_t used = 0;
  float* take(int64_t floats) {
    float* piece = base ? base + used : nullptr;
    used += rounded_up(floats, kLineFloats);
    return piece;
  }
};

template <class T, class Void>
UVIC_INLINE T* rows_of(const TokenRows<Void>& x, int64_t image, int64_t head) {
  return static_cast<T*>(x.data) + image * x.batch + head * x.head;
}

/// a of x = q k^T: |c x|, or c x for softmax. Finite for every finite x; NaN for NaN.
template <bool kCog>
UVIC_INLINE Vec magnitude(Vec x, Vec c) {
  x = x * c;
  if constexpr (kCog) x = abs(x);
  return min(splat(kLargest), x);
}

/// The signed weight of Cog: w with the sign of x, 0 where x is 0.
template <bool kCog>
UVIC_INLINE Vec with_sign(Vec w, Vec x) {
  if constexpr (!kCog) return w;
  return zero_unless(nonzero(x), from_bits(bits(w) ^ sign_bit(x)));
}

UVIC_INLINE float exp2_of(float x) { return exp2(splat(x))[0]; }

UVIC_INLINE void store_words(SingleWords, float* row, int64_t key, Vec x) { store(row + key, x); }
UVIC_INLINE void store_words(SingleWords, float* row, int64_t key, Vec x, Vec next) {
  store(row + key, x);
  store(row + key + kLanes, next);
}
#if defined(__AVX512BF16__)
UVIC_INLINE void store_words(PairWords, float* row, int64_t key, Vec x) {
  *reinterpret_cast<HVecMem*>(reinterpret_cast<uint16_t*>(row) + key) = narrow(x);
}
UVIC_INLINE void store_words(PairWords, float* row, int64_t key, Vec x, Vec next) {
  _mm512_storeu_si512(reinterpret_cast<uint16_t*>(row) + key,
                      (__m512i)_mm512_cvtne2ps_pbh((__m512)next, (__m512)x));
}
#endif

/// Prefetches row `row` of the next head into L2, one row per call. The distance of two rows is a
/// whole token, which is too large for the hardware prefetcher.
template <class Void>
UVIC_INLINE void fetch_row(const TokenRows<Void>& x,
                           const AttentionCall& call,
                           int64_t image_head,
                           int64_t row) {
  constexpr int64_t kLine = 64;
  const int64_t size = call.type == ElementType::bf16 ? 2 : 4;
  const int64_t image = image_head / call.heads, head = image_head % call.heads;
  const char* from =
      static_cast<const char*>(x.data) + (image * x.batch + head * x.head + row * x.token) * size;
  for (int64_t i = 0; i < call.width * size; i += kLine) __builtin_prefetch(from + i, 0, 2);
}
/// The same for keys and values, in proportion to the row `query` of the queries.
UVIC_INLINE void fetch_keys(const AttentionCall& call, int64_t image_head, int64_t query) {
  const int64_t end = (query + 1) * call.keys / call.queries;
  for (int64_t r = query * call.keys / call.queries; r < end; ++r) {
    fetch_row(call.k, call, image_head, r);
    fetch_row(call.v, call, image_head, r);
  }
}

/// How many keys from `k0` on the query `query` sees, of the first `keys`: all of them, or in a
/// causal call those up to its own place. Not more than `keys`, and 0 where it sees none.
UVIC_INLINE int64_t seen_keys(const AttentionCall& call, int64_t query, int64_t k0, int64_t keys) {
  if (!call.causal) return keys;
  const int64_t seen = query + call.keys - call.queries + 1 - k0;
  return seen < 0 ? 0 : seen < keys ? seen : keys;
}

/// The largest |row|^2 of columns packed by pack_columns().
template <class Words>
float longest_column(const float* packed, int64_t columns, int64_t steps) {
  Vec longest = {};
  for (int64_t c = 0; c < columns; c += kLanes) {
    Vec sum = {};
    for (int64_t k = 0; k < steps; ++k) {
      const Vec x = load(packed + c * steps + k * kLanes);
      sum = Words::multiply_add(x, x, sum);
    }
    longest = max(longest, sum);
  }
  return max_of_lanes(longest);
}

/// |row|^2 of a row packed by pack_rows().
template <class Words>
UVIC_INLINE float square_of_row(const float* row, int64_t row_words) {
  Vec sum = {};
  for (int64_t w = 0; w < row_words; w += kLanes)
    sum = Words::multiply_add(load(row + w), load(row + w), sum);
  return sum_of_lanes(sum);
}

template <class Words>
struct ForwardScratch {
  float *queries, *keys, *values, *scores, *out, *max, *sum;
  int64_t size, row_words, columns, score_row;

  ForwardScratch(const AttentionCall& call, float* base) {
    Scratch scratch{base};
    row_words = rounded_up(words_of<Words>(call.width), kLanes);
    columns = rounded_up(call.width, kLanes);
    score_row = rounded_up(tile_keys(call.keys), kLineFloats) +
                kLineFloats;  // an odd number of cache lines
    queries = scratch.take(call.queries * row_words);
    keys = scratch.take(rounded_up(call.keys, kLanes) * words_of<Words>(call.width));
    values = scratch.take(words_of<Words>(call.keys) * columns);
    scores = scratch.take(kForwardQueries * score_row);
    out = scratch.take(kForwardQueries * columns);
    max = scratch.take(kForwardQueries);
    sum = scratch.take(kForwardQueries);
    size = scratch.used;
  }
};

/// Converts one row of products q k^T in place to unnormalised weights 2^(a - max) with their
/// signs. max and sum continue from the tiles before. Returns the factor for the sums and outputs
/// of those tiles.
template <class Words, bool kCog>
UVIC_INLINE float weigh_row(
    float* row, int64_t keys, Vec c, bool first_tile, float& max_so_far, float& sum_so_far) {
  Vec largest = first_tile ? splat(-kLargest) : splat(max_so_far);
  int64_t j = 0;
  for (; j + kLanes <= keys; j += kLanes) largest = max(largest, magnitude<kCog>(load(row + j), c));
  const Mask tail = first_lanes(keys - j);
  if (j < keys)
    largest = max(largest, choose(tail, magnitude<kCog>(load(row + j), c), splat(-kLargest)));
  const float new_max = max_of_lanes(largest);
  const float shrink = first_tile ? 0.f : exp2_of(max_so_far - new_max);

  const Vec top = splat(new_max);
  Vec sum = {};
  for (j = 0; j + kLanes <= keys; j += kLanes) {
    const Vec x = load(row + j);
    const Vec w = exp2(magnitude<kCog>(x, c) - top);
    sum += w;
    store_words(Words{}, row, j, with_sign<kCog>(w, x));
  }
  if (j < keys) {
    const Vec x = load(row + j);
    const Vec w = zero_unless(tail, exp2(magnitude<kCog>(x, c) - top));
    sum += w;
    store_words(Words{}, row, j, with_sign<kCog>(w, x));
  }
  max_so_far = new_max;
  sum_so_far = (first_tile ? 0.f : sum_so_far * shrink) + sum_of_lanes(sum);
  return shrink;
}

/// The same for a row whose |a| is at most kSafeScore: the weights are 2^a, with maximum 0.
template <class Words, bool kCog>
UVIC_INLINE void weigh_safe_row(
    float* row, int64_t keys, Vec c, bool first_tile, float& max_so_far, float& sum_so_far) {
  const auto weight = [&](Vec x) {
    x = x * c;
    if constexpr (kCog) x = abs(x);
    return exp2(x);
  };
  Vec sum = {}, next_sum = {};
  int64_t j = 0;
  for (; j + 2 * kLanes <= keys; j += 2 * kLanes) {
    const Vec x = load(row + j), y = load(row + j + kLanes);
    const Vec w = weight(x), v = weight(y);
    sum += w;
    next_sum += v;
    store_words(Words{}, row, j, with_sign<kCog>(w, x), with_sign<kCog>(v, y));
  }
  for (; j < keys; j += kLanes) {
    const Vec x = load(row + j);
    const Vec w = zero_unless(first_lanes(keys - j < kLanes ? keys - j : kLanes), weight(x));
    sum += w;
    store_words(Words{}, row, j, with_sign<kCog>(w, x));
  }
  max_so_far = 0.f;
  sum_so_far = (first_tile ? 0.f : sum_so_far) + sum_of_lanes(sum + next_sum);
}

/// Zero weights for keys `seen` .. `keys` - 1 of a row that weigh_row() has processed up to `seen`.
template <class Words>
UVIC_INLINE void hide_keys(float* row, int64_t seen, int64_t keys) {
  for (int64_t j = rounded_up(seen, kLanes); j < keys; j += kLanes)
    store_words(Words{}, row, j, Vec{});
}

/// `next`: the image and head after this one, to prefetch; or -1.
template <class Words, class T, bool kCog>
void attention_of_head(
    const AttentionCall& call, int64_t image, int64_t head, int64_t next, float* base) {
  const ForwardScratch<Words> s(call, base);
  const int64_t steps = words_of<Words>(call.width), panels = s.columns / kLanes,
                tile = tile_keys(call.keys);
  pack_rows<Words>(rows_of<const T>(call.q, image, head),
                   call.q.token,
                   call.queries,
                   call.width,
                   s.queries,
                   s.row_words);
  pack_columns<Words>(
      rows_of<const T>(call.k, image, head), call.k.token, call.keys, call.width, s.keys);
  pack_steps(Words{},
             rows_of<const T>(call.v, image, head),
             call.v.token,
             call.keys,
             call.width,
             s.values,
             s.columns);
  const Vec c = splat(call.scale * kLog2E);
  // Cauchy and Schwarz: |a| <= scale log2(e) |q| |k|.
  const float safe_square = kSafeScore * kSafeScore / (call.scale * kLog2E * call.scale * kLog2E) /
                            longest_column<Words>(s.keys, call.keys, steps);
  T* out = rows_of<T>(call.out, image, head);
  float* stats =
      call.row_stats ? call.row_stats + (image * call.heads + head) * call.queries * 2 : nullptr;

  for (int64_t q0 = 0; q0 < call.queries; q0 += kForwardQueries) {
    const int64_t rows = call.queries - q0 < kForwardQueries ? call.queries - q0 : kForwardQueries;
    bool safe[kForwardQueries];
    for (int64_t r = 0; r < rows; ++r)
      safe[r] =
          square_of_row<Words>(s.queries + (q0 + r) * s.row_words, s.row_words) <= safe_square;
    for (int64_t k0 = 0; k0 < call.keys; k0 += tile) {
      // Of a causal call, tiles and parts of tiles that no row sees are skipped.
      const int64_t in_tile = call.keys - k0 < tile ? call.keys - k0 : tile;
      const int64_t keys = seen_keys(call, q0 + rows - 1, k0, in_tile);
      if (keys == 0) break;
      product<Words>(rows,
                     rounded_up(keys, kLanes) / kLanes,
                     steps,
                     Left{s.queries + q0 * s.row_words, s.row_words, 1},
                     Right{s.keys + k0 * steps, steps * kLanes, kLanes},
                     Product{s.scores, s.score_row},
                     /*add=*/false);
      for (int64_t r = 0; r < rows; ++r) {
        float* row = s.scores + r * s.score_row;
        if (next >= 0 && k0 == 0) {
          fetch_row(call.q, call, next, q0 + r);
          fetch_keys(call, next, q0 + r);
        }
        const int64_t seen = seen_keys(call, q0 + r, k0, keys);
        if (seen == 0) {
          hide_keys<Words>(row, 0, keys);
          continue;
        }
        if (safe[r]) {
          weigh_safe_row<Words, kCog>(row, seen, c, k0 == 0, s.max[r], s.sum[r]);
          hide_keys<Words>(row, seen, keys);
          continue;
        }
        const float shrink = weigh_row<Words, kCog>(row, seen, c, k0 == 0, s.max[r], s.sum[r]);
        hide_keys<Words>(row, seen, keys);
        if (k0 > 0 && shrink != 1.f)
          for (int64_t d = 0; d < s.columns; d += kLanes)
            store(s.out + r * s.columns + d, load(s.out + r * s.columns + d) * splat(shrink));
      }
      product<Words>(rows,
                     panels,
                     words_of<Words>(keys),
                     Left{s.scores, s.score_row, 1},
                     Right{s.values + k0 / Words::kPerWord * s.columns, kLanes, s.columns},
                     Product{s.out, s.columns},
                     /*add=*/k0 > 0);
    }
    for (int64_t r = 0; r < rows; ++r) {
      const float inverse = 1.f / s.sum[r];
      T* to = out + (q0 + r) * call.out.token;
      for_each_vector(call.width, [&](int64_t d, int64_t n) {
        const Vec x = load(s.out + r * s.columns + d) * splat(inverse);
        store_lanes(to + d, x, n);
      });
      if (stats) {
        stats[2 * (q0 + r)] = s.max[r];
        stats[2 * (q0 + r) + 1] = inverse;
      }
    }
  }
}

template <class Words>
struct BackwardScratch {
  float *q_rows, *q_steps, *go_rows, *go_steps, *k_columns, *k_steps,
      *v_columns;                          // packed operands
  float *scores, *products, *score_grads;  // tiles
  float *grad_q, *grad_k, *grad_v, *delta, *stats;
  int64_t size, row_words, columns, score_row;

  BackwardScratch(const AttentionCall& call, float* base) {
    Scratch scratch{base};
    row_words = rounded_up(words_of<Words>(call.width), kLanes);
    columns = rounded_up(call.width, kLanes);
    score_row = rounded_up(tile_keys(call.keys), kLineFloats) + kLineFloats;
    const int64_t panel_floats = rounded_up(call.keys, kLanes) * words_of<Words>(call.width);
    const bool shared = Words::kPerWord == 1;  // a float32 row serves as left and as right factor
    q_rows = scratch.take(call.queries * row_words);
    q_steps = shared ? q_rows : scratch.take(words_of<Words>(call.queries) * columns);
    go_rows = scratch.take(call.queries * row_words);
    go_steps = shared ? go_rows : scratch.take(words_of<Words>(call.queries) * columns);
    k_columns = scratch.take(panel_floats);
    v_columns = scratch.take(panel_floats);
    k_steps = scratch.take(words_of<Words>(call.keys) * columns);
    scores = scratch.take(kBackwardQueries * score_row);
    products = scratch.take(kBackwardQueries * score_row);
    score_grads = shared ? products : scratch.take(kBackwardQueries * score_row);
    grad_q = scratch.take(call.queries * columns);
    grad_k = scratch.take(tile_keys(call.keys) * columns);
    grad_v = scratch.take(tile_keys(call.keys) * columns);
    delta = scratch.take(call.queries + 1);
    stats = scratch.take(2 * (call.queries + 1));
    size = scratch.used;
  }
};

/// Weights and score gradients of kLanes keys of one row.
struct WeightGrad {
  Vec weight, grad;
};

/// x = q k^T, g = grad_out v^T: w = sign(s) P and ds = P (g - sign(s) delta), 0 where s is 0; P =
/// 2^(a - max) * inverse.
template <bool kCog>
UVIC_INLINE WeightGrad weight_and_grad(Vec x, Vec g, Vec c, float max, float inverse, float delta) {
  Vec p = exp2(magnitude<kCog>(x, c) - splat(max)) * splat(inverse);
  if constexpr (!kCog) return {p, p * (g - splat(delta))};
  p = zero_unless(nonzero(x), p);
  const Vec weight = from_bits(bits(p) ^ sign_bit(x));
  return {weight, p * g - weight * splat(delta)};
}

/// In place: weights replace scores, and score gradients replace products. Calls before_row(r)
/// before each row. seen(r): the keys that the row sees; the others get weight and gradient 0.
template <bool kCog, class S, class F, class N>
UVIC_INLINE void differentiate_tile(SingleWords,
                                    const S& s,
                                    int64_t q0,
                                    int64_t rows,
                                    int64_t keys,
                                    Vec c,
                                    const F& before_row,
                                    const N& seen) {
  for (int64_t r = 0; r < rows; ++r) {
    before_row(r);
    float *x = s.scores + r * s.score_row, *g = s.products + r * s.score_row;
    const float max = s.stats[2 * (q0 + r)], inverse = s.stats[2 * (q0 + r) + 1],
                delta = s.delta[q0 + r];
    const int64_t visible = seen(r);
    int64_t j = 0;
    for (; j < visible; j += kLanes) {
      const WeightGrad y = weight_and_grad<kCog>(load(x + j), load(g + j), c, max, inverse, delta);
      store(x + j, y.weight);
      store(g + j, y.grad);
    }
    if (visible == keys) continue;
    for (int64_t i = visible; i < j; ++i) x[i] = g[i] = 0.f;
    for (; j < keys; j += kLanes) {
      store(x + j, Vec{});
      store(g + j, Vec{});
    }
  }
}

#if defined(__AVX512BF16__)
/// The first n of kLanes keys, 0 beyond.
UVIC_INLINE WeightGrad only_seen(WeightGrad x, int64_t n) {
  if (n >= kLanes) return x;
  if (n <= 0) return {Vec{}, Vec{}};
  return {zero_unless(first_lanes(n), x.weight), zero_unless(first_lanes(n), x.grad)};
}

/// Words of two rows (weights over the even rows of scores, gradients over those of products), and
/// rows of score gradients.
template <bool kCog, class S, class F, class N>
UVIC_INLINE void differentiate_tile(PairWords,
                                    const S& s,
                                    int64_t q0,
                                    int64_t rows,
                                    int64_t keys,
                                    Vec c,
                                    const F& before_row,
                                    const N& seen) {
  for (int64_t r = 0; r < rows; r += 2) {
    before_row(r);
    if (r + 1 < rows) before_row(r + 1);
    float *x0 = s.scores + r * s.score_row, *x1 = x0 + s.score_row;
    float *g0 = s.products + r * s.score_row, *g1 = g0 + s.score_row;
    float *d0 = s.score_grads + r * s.score_row, *d1 = d0 + s.score_row;
    const float *stats = s.stats + 2 * (q0 + r), *delta = s.delta + q0 + r;
    const int64_t visible = seen(r), visible_next = r + 1 < rows ? seen(r + 1) : 0;
    int64_t j = 0;
    const auto both = [&](Mask valid) {
      WeightGrad y =
          weight_and_grad<kCog>(load(x0 + j), load(g0 + j), c, stats[0], stats[1], delta[0]);
      WeightGrad z =
          weight_and_grad<kCog>(load(x1 + j), load(g1 + j), c, stats[2], stats[3], delta[1]);
      if (visible < keys || visible_next < keys) {
        y = only_seen(y, visible - j);
        z = only_seen(z, visible_next - j);
      }
      store_words(PairWords{}, d0, j, zero_unless(valid, y.grad));
      store_words(PairWords{}, d1, j, zero_unless(valid, z.grad));
      if (r + 1 == rows) z = {Vec{}, Vec{}};
      store(x0 + j, paired(y.weight, z.weight));
      store(g0 + j, paired(y.grad, z.grad));
    };
    for (; j + kLanes <= keys; j += kLanes) both(all_lanes());
    if (j < keys) both(first_lanes(keys - j));
  }
}
#endif

/// The layout of the results of differentiate_tile(): a step of the gradients of keys and values
/// has kPerWord rows.
template <class Words>
constexpr int64_t kStepRows = Words::kPerWord;

template <class T>
UVIC_INLINE void write_rows(const float* from,
                            int64_t columns,
                            float factor,
                            T* to,
                            int64_t stride,
                            int64_t rows,
                            int64_t width) {
  for (int64_t r = 0; r < rows; ++r)
    for_each_vector(width, [&](int64_t d, int64_t n) {
      const Vec x = load(from + r * columns + d) * splat(factor);
      store_lanes(to + r * stride + d, x, n);
    });
}

template <class Words, class T, bool kCog>
void attention_grad_of_head(
    const AttentionGradCall& grad, int64_t image, int64_t head, int64_t next, float* base) {
  const AttentionCall& call = grad.forward;
  const BackwardScratch<Words> s(call, base);
  const int64_t steps = words_of<Words>(call.width), panels = s.columns / kLanes,
                tile = tile_keys(call.keys);
  const int64_t width = call.width, queries = call.queries;
  const T *q = rows_of<const T>(call.q, image, head), *k = rows_of<const T>(call.k, image, head);
  const T *v = rows_of<const T>(call.v, image, head),
          *go = rows_of<const T>(grad.grad_out, image, head);
  const T* out = rows_of<T>(call.out, image, head);

  pack_rows<Words>(q, call.q.token, queries, width, s.q_rows, s.row_words);
  pack_rows<Words>(go, grad.grad_out.token, queries, width, s.go_rows, s.row_words);
  if (s.q_steps != s.q_rows)
    pack_steps(Words{}, q, call.q.token, queries, width, s.q_steps, s.columns);
  if (s.go_steps != s.go_rows)
    pack_steps(Words{}, go, grad.grad_out.token, queries, width, s.go_steps, s.columns);
  pack_columns<Words>(k, call.k.token, call.keys, width, s.k_columns);
  pack_columns<Words>(v, call.v.token, call.keys, width, s.v_columns);
  pack_steps(Words{}, k, call.k.token, call.keys, width, s.k_steps, s.columns);

  const float* stats = call.row_stats + (image * call.heads + head) * queries * 2;
  for (int64_t r = 0; r < queries; ++r) {
    Vec sum = {};
    for_each_vector(width, [&](int64_t d, int64_t n) {
      const T *o = out + r * call.out.token + d, *g = go + r * grad.grad_out.token + d;
      sum += load_lanes(o, n) * load_lanes(g, n);
    });
    s.delta[r] = sum_of_lanes(sum);
    s.stats[2 * r] = stats[2 * r];
    s.stats[2 * r + 1] = stats[2 * r + 1];
  }
  s.delta[queries] = s.stats[2 * queries] = s.stats[2 * queries + 1] = 0.f;

  const Vec c = splat(call.scale * kLog2E);
  for (int64_t k0 = 0; k0 < call.keys; k0 += tile) {
    const int64_t in_tile = call.keys - k0 < tile ? call.keys - k0 : tile;
    // Causal: the first rows that see a key of this tile may not see all of them.
    const int64_t unseen = call.causal ? k0 - (call.keys - queries) : 0;
    const int64_t first = unseen > 0 ? unseen / kBackwardQueries * kBackwardQueries : 0;
    if (call.causal)
      for (int64_t i = 0; i < in_tile * s.columns; i += kLanes) {
        store(s.grad_k + i, Vec{});
        store(s.grad_v + i, Vec{});
      }
    for (int64_t q0 = first; q0 < queries; q0 += kBackwardQueries) {
      const int64_t rows = queries - q0 < kBackwardQueries ? queries - q0 : kBackwardQueries;
      const int64_t keys = seen_keys(call, q0 + rows - 1, k0, in_tile);
      const int64_t key_panels = rounded_up(keys, kLanes) / kLanes;
      const bool adds = call.causal || q0 > 0;
      const auto before_row = [&](int64_t r) {
        if (next < 0 || k0 > 0) return;
        fetch_row(call.q, call, next, q0 + r);
        fetch_row(grad.grad_out, call, next, q0 + r);
        fetch_row(call.out, call, next, q0 + r);
        fetch_keys(call, next, q0 + r);
      };
      const Left q_tile{s.q_rows + q0 * s.row_words, s.row_words, 1},
          go_tile{s.go_rows + q0 * s.row_words, s.row_words, 1};
      const Right k_tile{s.k_columns + k0 * steps, steps * kLanes, kLanes};
      const Right v_tile{s.v_columns + k0 * steps, steps * kLanes, kLanes};
      product<Words>(
          rows, key_panels, steps, q_tile, k_tile, Product{s.scores, s.score_row}, false);
      product<Words>(
          rows, key_panels, steps, go_tile, v_tile, Product{s.products, s.score_row}, false);
      differentiate_tile<kCog>(Words{}, s, q0, rows, keys, c, before_row, [&](int64_t r) {
        return seen_keys(call, q0 + r, k0, keys);
      });

      const int64_t row_steps = words_of<Words>(rows), step_row = kStepRows<Words> * s.score_row;
      product<Words>(rows,
                     panels,
                     words_of<Words>(keys),
                     Left{s.score_grads, s.score_row, 1},
                     Right{s.k_steps + k0 / Words::kPerWord * s.columns, kLanes, s.columns},
                     Product{s.grad_q + q0 * s.columns, s.columns},
                     /*add=*/k0 > 0);
      product<Words>(keys,
                     panels,
                     row_steps,
                     Left{s.products, 1, step_row},
                     Right{s.q_steps + q0 / Words::kPerWord * s.columns, kLanes, s.columns},
                     Product{s.grad_k, s.columns},
                     adds);
      product<Words>(keys,
                     panels,
                     row_steps,
                     Left{s.scores, 1, step_row},
                     Right{s.go_steps + q0 / Words::kPerWord * s.columns, kLanes, s.columns},
                     Product{s.grad_v, s.columns},
                     adds);
    }
    T* grad_k = rows_of<T>(grad.grad_k, image, head) + k0 * grad.grad_k.token;
    T* grad_v = rows_of<T>(grad.grad_v, image, head) + k0 * grad.grad_v.token;
    write_rows(s.grad_k, s.columns, call.scale, grad_k, grad.grad_k.token, in_tile, width);
    write_rows(s.grad_v, s.columns, 1.f, grad_v, grad.grad_v.token, in_tile, width);
  }
  write_rows(s.grad_q,
             s.columns,
             call.scale,
             rows_of<T>(grad.grad_q, image, head),
             grad.grad_q.token,
             queries,
             width);
}

int64_t attention_scratch(const AttentionCall& call) {
  const ForwardScratch<SingleWords> single(call, nullptr);
  const ForwardScratch<Bf16Words> half(call, nullptr);
  return call.type == ElementType::bf16 ? half.size : single.size;
}

void attention(const AttentionCall& call, int64_t begin, int64_t end, float* scratch) {
  [[maybe_unused]] const MultiplierUse use;
  const bool cog = call.kind == ScoreKind::cog, bf16 = call.type == ElementType::bf16;
  const auto head = cog ? (bf16 ? attention_of_head<Bf16Words, uint16_t, true>
                                : attention_of_head<SingleWords, float, true>)
                        : (bf16 ? attention_of_head<Bf16Words, uint16_t, false>
                                : attention_of_head<SingleWords, float, false>);
  for (int64_t i = begin; i < end; ++i)
    head(call, i / call.heads, i % call.heads, i + 1 < end ? i + 1 : -1, scratch);
}

int64_t attention_grad_scratch(const AttentionGradCall& grad) {
  const BackwardScratch<SingleWords> single(grad.forward, nullptr);
  const BackwardScratch<Bf16Words> half(grad.forward, nullptr);
  return grad.forward.type == ElementType::bf16 ? half.size : single.size;
}

void attention_grad(const AttentionGradCall& grad, int64_t begin, int64_t end, float* scratch) {
  [[maybe_unused]] const MultiplierUse use;
  const bool cog = grad.forward.kind == ScoreKind::cog,
             bf16 = grad.forward.type == ElementType::bf16;
  const auto head = cog ? (bf16 ? attention_grad_of_head<Bf16Words, uint16_t, true>
                                : attention_grad_of_head<SingleWords, float, true>)
                        : (bf16 ? attention_grad_of_head<Bf16Words, uint16_t, false>
                                : attention_grad_of_head<SingleWords, float, false>);
  for (int64_t i = begin; i < end; ++i)
    head(grad, i / grad.forward.heads, i % grad.forward.heads, i + 1 < end ? i + 1 : -1, scratch);
}

}  // namespace uvic::model::UVIC_ISA
