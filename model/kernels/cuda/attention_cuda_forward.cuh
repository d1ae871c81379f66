// out = w v. A block owns queries, and keys and values are streamed. The softmax is computed online
// (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao 2023, arXiv:2307.08691).
#pragma once

#include "model/kernels/cuda/attention_cuda_causal.cuh"

namespace uvic::model::cuda {

/// The state of the rows of a warp between tiles. [granule][half]: row g + 8 half.
template <class S, int kGranules>
struct Attended {
  float out[kGranules][S::kChunks][4];
  float max[kGranules][2];  ///< largest |q k^T| so far; softmax: q k^T
  float sum[kGranules][2];  ///< the part of this lane of the sum of e^(scale (|q k^T| - max))

  UVIC_DEVICE void clear() {
    UVIC_UNROLL
    for (int g = 0; g < kGranules; ++g) {
      UVIC_UNROLL
      for (int h = 0; h < 2; ++h) max[g][h] = -HUGE_VALF, sum[g][h] = 0;
      UVIC_UNROLL
      for (int j = 0; j < S::kChunks; ++j) {
        UVIC_UNROLL
        for (int e = 0; e < 4; ++e) out[g][j][e] = 0;
      }
    }
  }
};

template <class S>
UVIC_DEVICE float magnitude(float s) {
  return S::kCog ? fabsf(s) : s;
}

/// Converts the scores of one row to rounded weights with their signs. kZeros: some score is 0; it
/// adds e^0 to the sum, and its weight is 0.
template <class S, int kStep, bool kMasked, bool kZeros, int kGranules>
UVIC_DEVICE float weigh(const float (&s)[2 * kStep][4],
                        int half,
                        float max,
                        float c,
                        int valid,
                        Weights<kGranules, kStep>& weights,
                        int granule) {
  float sum = 0;
  UVIC_UNROLL
  for (int j = 0; j < 2 * kStep; ++j) {
    const float x0 = s[j][2 * half], x1 = s[j][2 * half + 1];
    float w0 = exp2_fast((magnitude<S>(x0) - max) * c);
    float w1 = exp2_fast((magnitude<S>(x1) - max) * c);
    if (kMasked) {
      w0 = exists(j, 0, valid) ? w0 : 0.f;
      w1 = exists(j, 1, valid) ? w1 : 0.f;
    }
    sum += w0 + w1;
    if (kZeros) {
      w0 = x0 == 0 ? 0.f : w0;
      w1 = x1 == 0 ? 0.f : w1;
    }
    uint32_t word = S::Type::pack(w0, w1);
    if (S::kCog) word |= packed_signs(x0, x1);
    weights.word[granule][j][half] = word;
  }
  return sum;
}

/// The largest magnitude of a row in this tile and before. Scores that overflowed become the
/// largest finite number, so that the weights of the row stay finite.
template <class S, int kStep, bool kMasked>
UVIC_DEVICE float largest_of_row(
    float (&s)[2 * kStep][4], int half, float largest, int valid, float& smallest) {
  smallest = kLargestFloat;
  UVIC_UNROLL
  for (int j = 0; j < 2 * kStep; ++j) {
    UVIC_UNROLL
    for (int e = 0; e < 2; ++e) {
      const float x = magnitude<S>(s[j][2 * half + e]);
      if (!kMasked || exists(j, e, valid)) largest = fmaxf(largest, x);
      if (S::kCog) smallest = fminf(smallest, x);
    }
  }
  largest = fmaxf(largest, shuffle_xor(largest, 1));
  largest = fmaxf(largest, shuffle_xor(largest, 2));
  if (fabsf(largest) <= kLargestFloat) return largest;
  UVIC_UNROLL
  for (int j = 0; j < 2 * kStep; ++j) {
    UVIC_UNROLL
    for (int e = 2 * half; e < 2 * half + 2; ++e) {
      if (s[j][e] > kLargestFloat) s[j][e] = kLargestFloat;  // NaN stays
      if (s[j][e] < -kLargestFloat) s[j][e] = -kLargestFloat;
    }
  }
  return largest > 0 ? kLargestFloat : -kLargestFloat;
}

/// Processes kStep * 16 keys, of which the first `valid` count for a row.
template <class S, int kGranules, int kStep, bool kMasked>
UVIC_DEVICE void attend_step(Attended<S, kGranules>& state,
                             const LeftRows<S, kGranules, S::kOwnInRegisters>& queries,
                             uint32_t keys,
                             uint32_t values,
                             float c,
                             const Columns<S>& valid) {
  float s[kGranules][2 * kStep][4];
  multiply_widths<S>(s, queries, keys);
  Weights<kGranules, kStep> weights;
  UVIC_UNROLL
  for (int g = 0; g < kGranules; ++g) {
    UVIC_UNROLL
    for (int h = 0; h < 2; ++h) {
      float smallest;
      const int columns = valid.of(g, h);
      const float max =
          largest_of_row<S, kStep, kMasked>(s[g], h, state.max[g][h], columns, smallest);
      const float shrink = exp2_fast((state.max[g][h] - max) * c);
      state.max[g][h] = max;
      const float sum = S::kCog && smallest == 0
                            ? weigh<S, kStep, kMasked, true>(s[g], h, max, c, columns, weights, g)
                            : weigh<S, kStep, kMasked, false>(s[g], h, max, c, columns, weights, g);
      state.sum[g][h] = state.sum[g][h] * shrink + sum;
      if (shrink == 1) continue;  // the maximum rarely changes after a few tiles
      UVIC_UNROLL
      for (int j = 0; j < S::kChunks; ++j) {
        state.out[g][j][2 * h] *= shrink;
        state.out[g][j][2 * h + 1] *= shrink;
      }
    }
  }
  sync_warp();  // lanes may have diverged above; products need all of them
  multiply_rows<S>(state.out, weights, values);
}

/// Adds the result of another warp for its part of the keys.
template <class S>
UVIC_DEVICE void join_parts(
    Attended<S, 1>& state, const WarpShare& share, bool active, uint32_t base, float c) {
  constexpr int kNumbers = S::kChunks * 4 + 4;
  const int warp = thread_index() / kLanes, groups = S::kWarps / share.parts;
  if (active && share.part > 0) {
    UVIC_UNROLL
    for (int i = 0; i < S::kChunks * 4; ++i)
      shared_store(handed_over(base, kNumbers, warp, i), state.out[0][i / 4][i % 4]);
    UVIC_UNROLL
    for (int h = 0; h < 2; ++h) {
      shared_store(handed_over(base, kNumbers, warp, S::kChunks * 4 + h), state.max[0][h]);
      shared_store(handed_over(base, kNumbers, warp, S::kChunks * 4 + 2 + h), state.sum[0][h]);
    }
  }
  sync_threads();
  if (!active || share.part > 0) return;
  for (int part = 1; part < share.parts; ++part) {
    const int other = warp + part * groups;
    float mine[2], theirs[2];
    UVIC_UNROLL
    for (int h = 0; h < 2; ++h) {
      const float max = shared_load<float>(handed_over(base, kNumbers, other, S::kChunks * 4 + h));
      const float sum =
          shared_load<float>(handed_over(base, kNumbers, other, S::kChunks * 4 + 2 + h));
      const float both = fmaxf(state.max[0][h], max);
      mine[h] = exp2_fast((state.max[0][h] - both) * c);
      theirs[h] = exp2_fast((max - both) * c);
      state.max[0][h] = both;
      state.sum[0][h] = state.sum[0][h] * mine[h] + sum * theirs[h];
    }
    UVIC_UNROLL
    for (int i = 0; i < S::kChunks * 4; ++i) {
      const int h = i % 4 / 2;
      const float out = shared_load<float>(handed_over(base, kNumbers, other, i));
      state.out[0][i / 4][i % 4] = state.out[0][i / 4][i % 4] * mine[h] + out * theirs[h];
    }
  }
}

template <class S>
struct ForwardMemory {
  static constexpr int kStageBytes = 2 * S::kStreamTileBytes;  // keys, values
  static constexpr int kStages = S::kOwnBytes;                 // where they begin
  static constexpr int kBytes = kStages + 2 * kStageBytes;
  static_assert(S::kWarps * (S::kChunks * 4 + 4) * kLanes * 4 <= 2 * kStageBytes,
                "parts are handed over where the stages were");
};

template <class S, int kGranules, bool kSplit>
UVIC_DEVICE void attend_rows(const AttentionForward& call, const OwnedRows& own) {
  using Memory = ForwardMemory<S>;
  const BlockIndex block = block_index();
  const int width = static_cast<int>(call.width);
  const WarpShare share = warp_share<S, kSplit>(own.count);
  const bool active = share.granule * kGranule < own.count;
  const float c = call.scale * kLog2E;

  copy_owned<S, kGranules>(0, call.q, own, width);
  LeftRows<S, kGranules, S::kOwnInRegisters> queries;
  Attended<S, kGranules> state;
  state.clear();
  const auto keys_at = [&](int stage, int row) {
    return static_cast<uint32_t>(Memory::kStages + stage * Memory::kStageBytes +
                                 row * S::kRowBytes);
  };
  const auto keys =
      streamed_keys<S, kRowsOfWarp<S, kGranules>>(call, own, own.first + share.granule * kGranule);
  stream_rows<S, kSplit>(
      keys,
      share,
      active,
      [&](int stage, int first, int rows) {
        copy_streamed<S>(keys_at(stage, 0), call.k, first, rows, width);
        copy_streamed<S>(keys_at(stage, 0) + S::kStreamTileBytes, call.v, first, rows, width);
      },
      [&] { queries.load(0, share.granule); },
      [&](int stage, int row) {
        const uint32_t at = keys_at(stage, row);
        if constexpr (!kSplit)
          attend_step<S, kGranules, S::kStep, false>(
              state, queries, at, at + S::kStreamTileBytes, c, {0});
      },
      [&](int stage, int row, int left, int key) {
        const uint32_t at = keys_at(stage, row);
        const auto valid = columns_at<S>(keys, thread_index() % kLanes / 4, key, left);
        attend_step<S, kGranules, 1, true>(state, queries, at, at + S::kStreamTileBytes, c, valid);
      });
  if constexpr (kSplit) join_parts<S>(state, share, active, Memory::kStages, c);
  if (!active || share.part > 0) return;

  const int lane = thread_index() % kLanes;
  UVIC_UNROLL
  for (int g = 0; g < kGranules; ++g) {
    const int granule = share.granule + g * S::kWarps;
    const int first = own.first + granule * kGranule, rows = own.count - granule * kGranule;
    float inverse[2];
    UVIC_UNROLL
    for (int h = 0; h < 2; ++h) {
      float sum = state.sum[g][h];
      sum += shuffle_xor(sum, 1);
      sum += shuffle_xor(sum, 2);
      inverse[h] = 1 / sum;
      const int row = lane / 4 + 8 * h;
      if (call.row_stats && lane % 4 == 0 && row < rows) {
        const int64_t at = (block.z * call.heads + block.y) * call.queries + first + row;
        reinterpret_cast<Pair*>(call.row_stats)[at] = {state.max[g][h], log2_fast(sum)};
      }
    }
    store_granule<S>(granule * kGranule * S::kRowBytes,
                     state.out[g],
                     inverse,
                     rows_at(call.out, block, first),
                     call.out.token,
                     rows,
                     width);
  }
}

template <class S>
UVIC_KERNEL(S::kThreads, 2)
attention_forward_kernel(const AttentionForward call) {
  const OwnedRows own = owned_rows<S>(
      block_of_queries<S>(call.queries - call.owned_from), call.owned_from, call.queries);
  with_fitting_rows<S>(own.count, [&](auto granules, auto split) {
    attend_rows<S, granules.value, split.value>(call, own);
  });
}

}  // namespace uvic::model::cuda
