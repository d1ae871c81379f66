// The gradient kernels for compute capability 9.0.
#pragma once

#include "model/kernels/cuda/attention_cuda_backward.cuh"
#include "model/kernels/cuda/attention_hopper_tiles.cuh"

namespace uvic::model::cuda {

template <class H>
struct HopperBackwardMemory {
  static constexpr int kFacts = 2 * H::kStreamTileBytes;
  static constexpr int kStageBytes = kFacts + H::kFactBytes;  // a multiple of 1024
  static constexpr int kStage0 = 2 * H::kOwnTileBytes;
  static constexpr int kBytes = kStage0 + H::kStages * kStageBytes;
  static_assert(kStageBytes % 1024 == 0, "tiles begin at whole swizzles");
};

#if defined(UVIC_HOPPER_CODE)

template <class H>
UVIC_DEVICE uint32_t backward_stage(int stage) {
  return HopperBackwardMemory<H>::kStage0 + stage * HopperBackwardMemory<H>::kStageBytes;
}

/// The two products that both gradients start from: s of the first matrices, g of the second.
template <class H, int kTiles>
UVIC_DEVICE void multiply_both(float (&s)[kTiles][4],
                               float (&g)[kTiles][4],
                               const GroupRows<H>& first,
                               const GroupRows<H>& second,
                               uint32_t streamed) {
  group_fence();
  start_widths<H>(s, first, streamed);
  start_widths<H>(g, second, streamed + H::kStreamTileBytes);
  group_commit();
  group_wait();
  settle(s);
  settle(g);
}

template <class H, int kStep, bool kMasked>
UVIC_DEVICE void query_group_step(float (&sum)[H::kChunks][4],
                                  const GroupRows<H>& queries,
                                  const GroupRows<H>& grads,
                                  const Four (&facts)[2],
                                  uint32_t keys,
                                  float c,
                                  const Columns<H>& valid) {
  float s[2 * kStep][4], g[2 * kStep][4];
  multiply_both<H>(s, g, queries, grads, keys);
  Weights<1, kStep> gradients;
  UVIC_UNROLL
  for (int j = 0; j < 2 * kStep; ++j) {
    UVIC_UNROLL
    for (int h = 0; h < 2; ++h) {
      float ds[2];
      UVIC_UNROLL
      for (int e = 0; e < 2; ++e) {
        ds[e] = score_gradient<H>(s[j][2 * h + e], g[j][2 * h + e], facts[h], c).gradient;
        if (kMasked && !exists(j, e, valid.of(0, h))) ds[e] = 0;
      }
      gradients.word[0][j][h] = H::Type::pack(ds[0], ds[1]);
    }
  }
  sync_warp();
  settle(sum);
  group_fence();
  start_rows<H>(sum, gradients, keys);
  group_commit();
  group_wait();
  settle(sum);
}

template <class H>
UVIC_DEVICE void query_gradients_of_block(const AttentionBackward& call) {
  const AttentionForward& forward = call.forward;
  const BlockIndex block = block_index();
  const int width = static_cast<int>(forward.width), lane = thread_index() % kLanes;
  const GroupShare<H> share(block_of_queries<H>(forward.owned_from), forward.queries);
  const auto keys = streamed_keys<H, H::kGroupRows>(forward, share, share.first_of_group());
  const float c = forward.scale * kLog2E;

  copy_swizzled<H, H::kOwnRows>(
      0, rows_at(forward.q, block, share.first), forward.q.token, share.count, width);
  copy_swizzled<H, H::kOwnRows>(H::kOwnTileBytes,
                                rows_at(call.grad_out, block, share.first),
                                call.grad_out.token,
                                share.count,
                                width);
  Four facts[2];
  UVIC_UNROLL
  for (int h = 0; h < 2; ++h) {
    const int row = thread_index() / kLanes * 16 + lane / 4 + 8 * h;
    const int64_t at = (block.z * forward.heads + block.y) * forward.queries + share.first + row;
    facts[h] =
        row < share.count ? reinterpret_cast<const Four*>(call.row_facts)[at] : Four{0, 0, 0, 0};
  }
  GroupRows<H> queries, grads;
  float sum[H::kChunks][4];
  clear_sum<H>(sum);
  stream_stages<H>(
      keys,
      share.active,
      [&](int stage, int first, int rows) {
        const uint32_t at = backward_stage<H>(stage);
        copy_swizzled<H, H::kStreamRows>(
            at, rows_at(forward.k, block, first), forward.k.token, rows, width);
        copy_swizzled<H, H::kStreamRows>(at + H::kStreamTileBytes,
                                         rows_at(forward.v, block, first),
                                         forward.v.token,
                                         rows,
                                         width);
      },
      [&] {
        queries.load(0);
        grads.load(H::kOwnTileBytes);
      },
      [&](int stage, int left, int key) {
        const GroupStep step = group_step<H>(keys, key, left);
        if (step == GroupStep::skip) return;
        const uint32_t at = backward_stage<H>(stage);
        const auto valid = columns_at<H>(keys, share.row_in_group(), key, left);
        if (step == GroupStep::whole)
          query_group_step<H, 4, false>(sum, queries, grads, facts, at, c, {0});
        else if (left > kGranule)
          query_group_step<H, 4, true>(sum, queries, grads, facts, at, c, valid);
        else
          query_group_step<H, 1, true>(sum, queries, grads, facts, at, c, valid);
      });
  const float factors[2] = {forward.scale, forward.scale};
  if (share.active) store_warp_rows<H>(0, sum, factors, call.grad_q, share, width);
}

/// Queries beyond the last are rows of zeros and add nothing. kMasked: the first `blind` do not see
/// a key.
template <class H, int kStep, bool kMasked>
UVIC_DEVICE void key_group_step(float (&key_sum)[H::kChunks][4],
                                float (&value_sum)[H::kChunks][4],
                                const GroupRows<H>& keys,
                                const GroupRows<H>& values,
                                uint32_t queries,
                                float c,
                                const Columns<H>& blind) {
  float s[2 * kStep][4], g[2 * kStep][4];
  multiply_both<H>(s, g, keys, values, queries);
  const uint32_t facts = queries + HopperBackwardMemory<H>::kFacts;
  Weights<1, kStep> weights, gradients;
  UVIC_UNROLL
  for (int j = 0; j < 2 * kStep; ++j) {
    Four fact[2];
    UVIC_UNROLL
    for (int e = 0; e < 2; ++e)
      fact[e] = shared_load<Four>(facts + (j * 8 + thread_index() % 4 * 2 + e) * 16);
    UVIC_UNROLL
    for (int h = 0; h < 2; ++h) {
      const float x0 = s[j][2 * h], x1 = s[j][2 * h + 1];
      ScoreGradient low = score_gradient<H>(x0, g[j][2 * h], fact[0], c),
                    high = score_gradient<H>(x1, g[j][2 * h + 1], fact[1], c);
      if (kMasked && exists(j, 0, blind.of(0, h))) low = {0, 0};
      if (kMasked && exists(j, 1, blind.of(0, h))) high = {0, 0};
      uint32_t word = H::Type::pack(low.weight, high.weight);
      if (H::kCog) word |= packed_signs(x0, x1);
      weights.word[0][j][h] = word;
      gradients.word[0][j][h] = H::Type::pack(low.gradient, high.gradient);
    }
  }
  sync_warp();
  settle(key_sum);
  settle(value_sum);
  group_fence();
  start_rows<H>(key_sum, gradients, queries);
  start_rows<H>(value_sum, weights, queries + H::kStreamTileBytes);
  group_commit();
  group_wait();
  settle(key_sum);
  settle(value_sum);
}

template <class H>
UVIC_DEVICE void key_gradients_of_block(const AttentionBackward& call) {
  const AttentionForward& forward = call.forward;
  const BlockIndex block = block_index();
  const int width = static_cast<int>(forward.width);
  const GroupShare<H> share(block_index().x, forward.keys);
  const auto queries =
      streamed_queries<H, H::kGroupRows, H::kStreamRows>(forward, share, share.first_of_group());
  const float c = forward.scale * kLog2E;
  const Four* facts = reinterpret_cast<const Four*>(call.row_facts) +
                      (block.z * forward.heads + block.y) * forward.queries;

  copy_swizzled<H, H::kOwnRows>(
      0, rows_at(forward.k, block, share.first), forward.k.token, share.count, width);
  copy_swizzled<H, H::kOwnRows>(H::kOwnTileBytes,
                                rows_at(forward.v, block, share.first),
                                forward.v.token,
                                share.count,
                                width);
  GroupRows<H> keys, values;
  float key_sum[H::kChunks][4], value_sum[H::kChunks][4];
  clear_sum<H>(key_sum), clear_sum<H>(value_sum);
  stream_stages<H>(
      queries,
      share.active,
      [&](int stage, int first, int rows) {
        const uint32_t at = backward_stage<H>(stage);
        copy_swizzled<H, H::kStreamRows>(
            at, rows_at(forward.q, block, first), forward.q.token, rows, width);
        copy_swizzled<H, H::kStreamRows>(at + H::kStreamTileBytes,
                                         rows_at(call.grad_out, block, first),
                                         call.grad_out.token,
                                         rows,
                                         width);
        const int row = thread_index();
        if (row < H::kStreamRows)
          copy_async(at + HopperBackwardMemory<H>::kFacts + row * 16,
                     row < rows ? facts + first + row : facts,
                     row < rows);
      },
      [&] {
        keys.load(0);
        values.load(H::kOwnTileBytes);
      },
      [&](int stage, int left, int query) {
        const GroupStep step = group_step<H>(queries, query, H::kStreamRows);
        if (step == GroupStep::skip) return;
        const uint32_t at = backward_stage<H>(stage);
        const auto blind = columns_at<H>(queries, share.row_in_group(), query, 0);
        if (step == GroupStep::masked)
          key_group_step<H, 4, H::kCausal>(key_sum, value_sum, keys, values, at, c, blind);
        else if (left > kGranule)
          key_group_step<H, 4, false>(key_sum, value_sum, keys, values, at, c, {0});
        else
          key_group_step<H, 1, false>(key_sum, value_sum, keys, values, at, c, {0});
      });
  if (!share.active) return;
  const float scales[2] = {forward.scale, forward.scale}, ones[2] = {1, 1};
  store_warp_rows<H>(0, key_sum, scales, call.grad_k, share, width);
  store_warp_rows<H>(0, value_sum, ones, call.grad_v, share, width);
}

#endif  // UVIC_HOPPER_CODE

// The kernels exist for every architecture, and are empty without the instructions.

template <class H>
UVIC_KERNEL(H::kThreads, 1)
hopper_query_kernel(const AttentionBackward call) {
#if defined(UVIC_HOPPER_CODE)
  query_gradients_of_block<H>(call);
#else
  (void)call;
#endif
}

template <class H>
UVIC_KERNEL(H::kThreads, 1)
hopper_key_kernel(const AttentionBackward call) {
#if defined(UVIC_HOPPER_CODE)
  key_gradients_of_block<H>(call);
#else
  (void)call;
#endif
}

}  // namespace uvic::model::cuda
