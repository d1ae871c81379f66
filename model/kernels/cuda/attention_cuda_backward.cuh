// The gradients of attention, with the scores recomputed from the row statistics. A block owns
// queries and sums grad_q over keys, or owns keys and sums grad_k and grad_v over queries. This
// takes seven products of queries by keys instead of five, but needs no atomic operations and no
// dependence between blocks.
#pragma once

#include "model/kernels/cuda/attention_cuda_causal.cuh"

namespace uvic::model::cuda {

/// P and ds of one score, from its product x = q k^T and g = grad_out v^T.
struct ScoreGradient {
  float weight, gradient;
};

template <class S>
UVIC_DEVICE ScoreGradient score_gradient(float x, float g, const Four& facts, float c) {
  float p;
  if (fabsf(facts.d) < 1e30f) {
    p = exp2_fast(multiply_plus(S::kCog ? fabsf(x) : x, c, -facts.d));
  } else {  // m c may be beyond float32, and so may x; NaN stays
    const float finite = fabsf(x) > kLargestFloat ? with_sign_of(kLargestFloat, x) : x;
    p = exp2_fast(((S::kCog ? fabsf(finite) : finite) - facts.a) * c - facts.b);
  }
  if (S::kCog && x == 0) p = 0;
  return {p, p * (g - (S::kCog ? with_sign_of(facts.c, x) : facts.c))};
}

template <class S>
struct BackwardMemory {
  static constexpr int kFacts = 2 * S::kStreamTileBytes;  // where a stage's row facts begin
  static constexpr int kStageBytes = kFacts + S::kStreamRows * S::kFactBytes;
  static constexpr int kStages = S::kOwnBytes;
  static constexpr int kBytes = kStages + 2 * kStageBytes;
  static_assert(S::kWarps * S::kChunks * 4 * kLanes * 4 <= 2 * kStageBytes,
                "parts are handed over where the stages were");
};

template <class S, int kGranules>
UVIC_DEVICE void clear(float (&sum)[kGranules][S::kChunks][4]) {
  UVIC_UNROLL
  for (int g = 0; g < kGranules; ++g) {
    UVIC_UNROLL
    for (int j = 0; j < S::kChunks; ++j) {
      UVIC_UNROLL
      for (int e = 0; e < 4; ++e) sum[g][j][e] = 0;
    }
  }
}

/// Adds the parts of the sum of a granule in the order of the warps.
template <class S>
UVIC_DEVICE void add_parts(float (&sum)[1][S::kChunks][4],
                           const WarpShare& share,
                           bool active,
                           uint32_t base) {
  constexpr int kNumbers = S::kChunks * 4;
  const int warp = thread_index() / kLanes, groups = S::kWarps / share.parts;
  sync_threads();  // the previous contents have been read
  if (active && share.part > 0) {
    UVIC_UNROLL
    for (int i = 0; i < kNumbers; ++i)
      shared_store(handed_over(base, kNumbers, warp, i), sum[0][i / 4][i % 4]);
  }
  sync_threads();
  if (!active || share.part > 0) return;
  for (int part = 1; part < share.parts; ++part) {
    UVIC_UNROLL
    for (int i = 0; i < kNumbers; ++i)
      sum[0][i / 4][i % 4] +=
          shared_load<float>(handed_over(base, kNumbers, warp + part * groups, i));
  }
}

/// The rows of one gradient, from the positions of the granules in the first tile of owned rows.
template <class S, int kGranules>
UVIC_DEVICE void store_gradient(const float (&sum)[kGranules][S::kChunks][4],
                                float factor,
                                const TokenRows<void>& to,
                                const OwnedRows& own,
                                const WarpShare& share,
                                int width) {
  const float factors[2] = {factor, factor};
  UVIC_UNROLL
  for (int g = 0; g < kGranules; ++g) {
    const int granule = share.granule + g * S::kWarps;
    store_granule<S>(granule * kGranule * S::kRowBytes,
                     sum[g],
                     factors,
                     rows_at(to, block_index(), own.first + granule * kGranule),
                     to.token,
                     own.count - granule * kGranule,
                     width);
  }
}

/// The two matrices of owned rows of a block, and the stages of two matrices of streamed rows.
template <class S, int kGranules>
struct Matrices {
  LeftRows<S, kGranules, S::kOwnInRegisters> first, second;

  UVIC_DEVICE void load(const WarpShare& share) {
    first.load(0, share.granule);
    second.load(S::kOwnTileBytes, share.granule);
  }
  UVIC_DEVICE static uint32_t streamed(int stage, int row) {
    return BackwardMemory<S>::kStages + stage * BackwardMemory<S>::kStageBytes + row * S::kRowBytes;
  }
  UVIC_DEVICE static uint32_t facts(int stage, int row) {
    return BackwardMemory<S>::kStages + stage * BackwardMemory<S>::kStageBytes +
           BackwardMemory<S>::kFacts + row * S::kFactBytes;
  }
};

// ---- grad_q -------------------------------------------------------------------------------------

template <class S, int kGranules, int kStep, bool kMasked>
UVIC_DEVICE void query_step(float (&sum)[kGranules][S::kChunks][4],
                            const Matrices<S, kGranules>& own,
                            const Four (&facts)[kGranules][2],
                            uint32_t keys,
                            float c,
                            const Columns<S>& valid) {
  float s[kGranules][2 * kStep][4], g[kGranules][2 * kStep][4];
  multiply_widths<S>(s, own.first, keys);
  multiply_widths<S>(g, own.second, keys + S::kStreamTileBytes);
  Weights<kGranules, kStep> gradients;
  UVIC_UNROLL
  for (int i = 0; i < kGranules; ++i) {
    UVIC_UNROLL
    for (int j = 0; j < 2 * kStep; ++j) {
      UVIC_UNROLL
      for (int h = 0; h < 2; ++h) {
        float ds[2];
        UVIC_UNROLL
        for (int e = 0; e < 2; ++e) {
          ds[e] =
              score_gradient<S>(s[i][j][2 * h + e], g[i][j][2 * h + e], facts[i][h], c).gradient;
          if (kMasked && !exists(j, e, valid.of(i, h))) ds[e] = 0;
        }
        gradients.word[i][j][h] = S::Type::pack(ds[0], ds[1]);
      }
    }
  }
  multiply_rows<S>(sum, gradients, keys);
}

template <class S, int kGranules, bool kSplit>
UVIC_DEVICE void query_gradients(const AttentionBackward& call, const OwnedRows& own) {
  const AttentionForward& forward = call.forward;
  const BlockIndex block = block_index();
  const int width = static_cast<int>(forward.width), lane = thread_index() % kLanes;
  const WarpShare share = warp_share<S, kSplit>(own.count);
  const bool active = share.granule * kGranule < own.count;
  const float c = forward.scale * kLog2E;

  copy_owned<S, kGranules>(0, forward.q, own, width);
  copy_owned<S, kGranules>(S::kOwnTileBytes, call.grad_out, own, width);
  Four facts[kGranules][2];
  UVIC_UNROLL
  for (int g = 0; g < kGranules; ++g) {
    UVIC_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int row = (share.granule + g * S::kWarps) * kGranule + lane / 4 + 8 * h;
      const int64_t at = (block.z * forward.heads + block.y) * forward.queries + own.first + row;
      facts[g][h] =
          row < own.count ? reinterpret_cast<const Four*>(call.row_facts)[at] : Four{0, 0, 0, 0};
    }
  }
  Matrices<S, kGranules> matrices;
  float sum[kGranules][S::kChunks][4];
  clear<S>(sum);
  const auto keys = streamed_keys<S, kRowsOfWarp<S, kGranules>>(
      forward, own, own.first + share.granule * kGranule);
  stream_rows<S, kSplit>(
      keys,
      share,
      active,
      [&](int stage, int first, int rows) {
        copy_streamed<S>(matrices.streamed(stage, 0), forward.k, first, rows, width);
        copy_streamed<S>(
            matrices.streamed(stage, 0) + S::kStreamTileBytes, forward.v, first, rows, width);
      },
      [&] { matrices.load(share); },
      [&](int stage, int row) {
        if constexpr (!kSplit)
          query_step<S, kGranules, S::kStep, false>(
              sum, matrices, facts, matrices.streamed(stage, row), c, {0});
      },
      [&](int stage, int row, int left, int key) {
        const auto valid = columns_at<S>(keys, lane / 4, key, left);
        query_step<S, kGranules, 1, true>(
            sum, matrices, facts, matrices.streamed(stage, row), c, valid);
      });
  if constexpr (kSplit) add_parts<S>(sum, share, active, BackwardMemory<S>::kStages);
  if (active && share.part == 0)
    store_gradient<S>(sum, forward.scale, call.grad_q, own, share, width);
}

template <class S>
UVIC_KERNEL(S::kThreads, 2)
query_gradient_kernel(const AttentionBackward call) {
  const int64_t from = call.forward.owned_from, queries = call.forward.queries;
  const OwnedRows own = owned_rows<S>(block_of_queries<S>(queries - from), from, queries);
  with_fitting_rows<S>(own.count, [&](auto granules, auto split) {
    query_gradients<S, granules.value, split.value>(call, own);
  });
}

// ---- grad_k and grad_v --------------------------------------------------------------------------

/// The queries are streamed. Queries beyond the last are rows of zeros and add nothing. kMasked:
/// the first `blind` do not see a key.
template <class S, int kGranules, int kStep, bool kMasked>
UVIC_DEVICE void key_step(float (&key_sum)[kGranules][S::kChunks][4],
                          float (&value_sum)[kGranules][S::kChunks][4],
                          const Matrices<S, kGranules>& own,
                          uint32_t queries,
                          uint32_t facts,
                          float c,
                          const Columns<S>& blind) {
  float s[kGranules][2 * kStep][4], g[kGranules][2 * kStep][4];
  multiply_widths<S>(s, own.first, queries);
  multiply_widths<S>(g, own.second, queries + S::kStreamTileBytes);
  Weights<kGranules, kStep> weights, gradients;
  UVIC_UNROLL
  for (int j = 0; j < 2 * kStep; ++j) {
    Four fact[2];
    UVIC_UNROLL
    for (int e = 0; e < 2; ++e)
      fact[e] = shared_load<Four>(facts + (j * 8 + thread_index() % 4 * 2 + e) * S::kFactBytes);
    UVIC_UNROLL
    for (int i = 0; i < kGranules; ++i) {
      UVIC_UNROLL
      for (int h = 0; h < 2; ++h) {
        const float x0 = s[i][j][2 * h], x1 = s[i][j][2 * h + 1];
        ScoreGradient low = score_gradient<S>(x0, g[i][j][2 * h], fact[0], c),
                      high = score_gradient<S>(x1, g[i][j][2 * h + 1], fact[1], c);
        if (kMasked && exists(j, 0, blind.of(i, h))) low = {0, 0};
        if (kMasked && exists(j, 1, blind.of(i, h))) high = {0, 0};
        uint32_t word = S::Type::pack(low.weight, high.weight);
        if (S::kCog) word |= packed_signs(x0, x1);
        weights.word[i][j][h] = word;
        gradients.word[i][j][h] = S::Type::pack(low.gradient, high.gradient);
      }
    }
  }
  multiply_rows<S>(key_sum, gradients, queries);
  multiply_rows<S>(value_sum, weights, queries + S::kStreamTileBytes);
}

template <class S, int kGranules, bool kSplit>
UVIC_DEVICE void key_gradients(const AttentionBackward& call, const OwnedRows& own) {
  const AttentionForward& forward = call.forward;
  const BlockIndex block = block_index();
  const int width = static_cast<int>(forward.width);
  const WarpShare share = warp_share<S, kSplit>(own.count);
  const bool active = share.granule * kGranule < own.count;
  const float c = forward.scale * kLog2E;
  const Four* facts = reinterpret_cast<const Four*>(call.row_facts) +
                      (block.z * forward.heads + block.y) * forward.queries;

  copy_owned<S, kGranules>(0, forward.k, own, width);
  copy_owned<S, kGranules>(S::kOwnTileBytes, forward.v, own, width);
  Matrices<S, kGranules> matrices;
  float key_sum[kGranules][S::kChunks][4], value_sum[kGranules][S::kChunks][4];
  clear<S>(key_sum);
  clear<S>(value_sum);
  const auto queries = streamed_queries<S, kRowsOfWarp<S, kGranules>, kGranule>(
      forward, own, own.first + share.granule * kGranule);
  stream_rows<S, kSplit>(
      queries,
      share,
      active,
      [&](int stage, int first, int rows) {
        copy_streamed<S>(matrices.streamed(stage, 0), forward.q, first, rows, width);
        copy_streamed<S>(
            matrices.streamed(stage, 0) + S::kStreamTileBytes, call.grad_out, first, rows, width);
        for (int row = thread_index(); row < granules_of(rows) * kGranule; row += S::kThreads)
          copy_async(
              matrices.facts(stage, row), row < rows ? facts + first + row : facts, row < rows);
      },
      [&] { matrices.load(share); },
      [&](int stage, int row) {
        if constexpr (!kSplit)
          key_step<S, kGranules, S::kStep, false>(key_sum,
                                                  value_sum,
                                                  matrices,
                                                  matrices.streamed(stage, row),
                                                  matrices.facts(stage, row),
                                                  c,
                                                  {0});
      },
      [&](int stage, int row, int, int query) {
        const auto blind = columns_at<S>(queries, thread_index() % kLanes / 4, query, 0);
        key_step<S, kGranules, 1, S::kCausal>(key_sum,
                                              value_sum,
                                              matrices,
                                              matrices.streamed(stage, row),
                                              matrices.facts(stage, row),
                                              c,
                                              blind);
      });
  if constexpr (kSplit) {
    add_parts<S>(key_sum, share, active, BackwardMemory<S>::kStages);
    add_parts<S>(value_sum, share, active, BackwardMemory<S>::kStages);
  }
  if (!active || share.part > 0) return;
  store_gradient<S>(key_sum, forward.scale, call.grad_k, own, share, width);
  store_gradient<S>(value_sum, 1, call.grad_v, own, share, width);
}

template <class S>
UVIC_KERNEL(S::kThreads, 2)
key_gradient_kernel(const AttentionBackward call) {
  const OwnedRows own = owned_rows<S>(block_index().x, call.forward.owned_from, call.forward.keys);
  with_fitting_rows<S>(own.count, [&](auto granules, auto split) {
    key_gradients<S, granules.value, split.value>(call, own);
  });
}

}  // namespace uvic::model::cuda
