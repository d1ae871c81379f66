// The forward kernel for compute capability 9.0.
#pragma once

#include "model/kernels/cuda/attention_cuda_forward.cuh"
#include "model/kernels/cuda/attention_hopper_tiles.cuh"

namespace uvic::model::cuda {

template <class H>
struct HopperForwardMemory {
  static constexpr int kStageBytes = 2 * H::kStreamTileBytes;  // keys, values
  static constexpr int kStage0 = H::kOwnTileBytes;
  static constexpr int kBytes = kStage0 + H::kStages * kStageBytes;
};

#if defined(UVIC_HOPPER_CODE)

/// weigh() with one multiply-add for each score.
template <class H, int kStep, bool kMasked>
UVIC_DEVICE float weigh_fast(const float (&s)[2 * kStep][4],
                             int half,
                             float max,
                             float c,
                             int valid,
                             Weights<1, kStep>& weights) {
  const float shift = -max * c;
  if (!(fabsf(shift) < 1e30f))
    return weigh<H, kStep, kMasked, false>(s, half, max, c, valid, weights, 0);
  float sum = 0;
  UVIC_UNROLL
  for (int j = 0; j < 2 * kStep; ++j) {
    const float x0 = s[j][2 * half], x1 = s[j][2 * half + 1];
    float w0 = exp2_fast(multiply_plus(magnitude<H>(x0), c, shift));
    float w1 = exp2_fast(multiply_plus(magnitude<H>(x1), c, shift));
    if (kMasked) {
      w0 = exists(j, 0, valid) ? w0 : 0.f;
      w1 = exists(j, 1, valid) ? w1 : 0.f;
    }
    sum += w0 + w1;
    uint32_t word = H::Type::pack(w0, w1);
    if (H::kCog) word |= packed_signs(x0, x1);
    weights.word[0][j][half] = word;
  }
  return sum;
}

template <class H>
struct GroupAttended {
  float out[H::kChunks][4];
  float max[2], sum[2];
};

/// kStep * 16 keys, of which the first `valid` count for a row.
template <class H, int kStep, bool kMasked>
UVIC_DEVICE void attend_group(GroupAttended<H>& state,
                              const GroupRows<H>& queries,
                              uint32_t keys,
                              float c,
                              const Columns<H>& valid) {
  float s[2 * kStep][4];
  group_fence();
  start_widths<H>(s, queries, keys);
  group_commit();
  group_wait();
  settle(s);
  Weights<1, kStep> weights;
  UVIC_UNROLL
  for (int h = 0; h < 2; ++h) {
    float smallest;
    const int columns = valid.of(0, h);
    const float max = largest_of_row<H, kStep, kMasked>(s, h, state.max[h], columns, smallest);
    const float shrink = exp2_fast((state.max[h] - max) * c);
    state.max[h] = max;
    const float sum = H::kCog && smallest == 0
                          ? weigh<H, kStep, kMasked, true>(s, h, max, c, columns, weights, 0)
                          : weigh_fast<H, kStep, kMasked>(s, h, max, c, columns, weights);
    state.sum[h] = state.sum[h] * shrink + sum;
    if (shrink == 1) continue;
    UVIC_UNROLL
    for (int j = 0; j < H::kChunks; ++j) {
      state.out[j][2 * h] *= shrink;
      state.out[j][2 * h + 1] *= shrink;
    }
  }
  sync_warp();  // lanes may have diverged above; products need all of them
  settle(state.out);
  group_fence();
  start_rows<H>(state.out, weights, keys + H::kStreamTileBytes);
  group_commit();
  group_wait();
  settle(state.out);
}

template <class H>
UVIC_DEVICE void attend_rows_of_block(const AttentionForward& call) {
  using Memory = HopperForwardMemory<H>;
  const BlockIndex block = block_index();
  const int width = static_cast<int>(call.width);
  const GroupShare<H> share(block_of_queries<H>(call.owned_from), call.queries);
  const auto keys = streamed_keys<H, H::kGroupRows>(call, share, share.first_of_group());
  const float c = call.scale * kLog2E;
  const int lane = thread_index() % kLanes;

  copy_swizzled<H, H::kOwnRows>(
      0, rows_at(call.q, block, share.first), call.q.token, share.count, width);
  GroupRows<H> queries;
  GroupAttended<H> state;
  clear_sum<H>(state.out);
  state.max[0] = state.max[1] = -HUGE_VALF;
  state.sum[0] = state.sum[1] = 0;
  const auto keys_at = [](int stage) {
    return static_cast<uint32_t>(Memory::kStage0 + stage * Memory::kStageBytes);
  };
  stream_stages<H>(
      keys,
      share.active,
      [&](int stage, int first, int rows) {
        copy_swizzled<H, H::kStreamRows>(
            keys_at(stage), rows_at(call.k, block, first), call.k.token, rows, width);
        copy_swizzled<H, H::kStreamRows>(keys_at(stage) + H::kStreamTileBytes,
                                         rows_at(call.v, block, first),
                                         call.v.token,
                                         rows,
                                         width);
      },
      [&] { queries.load(0); },
      [&](int stage, int left, int key) {
        const GroupStep step = group_step<H>(keys, key, left);
        if (step == GroupStep::skip) return;
        const auto valid = columns_at<H>(keys, share.row_in_group(), key, left);
        if (step == GroupStep::whole)
          attend_group<H, 4, false>(state, queries, keys_at(stage), c, {0});
        else if (left > kGranule)
          attend_group<H, 4, true>(state, queries, keys_at(stage), c, valid);
        else
          attend_group<H, 1, true>(state, queries, keys_at(stage), c, valid);
      });
  if (!share.active) return;

  float inverse[2];
  UVIC_UNROLL
  for (int h = 0; h < 2; ++h) {
    float sum = state.sum[h];
    sum += shuffle_xor(sum, 1);
    sum += shuffle_xor(sum, 2);
    inverse[h] = 1 / sum;
    const int row = thread_index() / kLanes * 16 + lane / 4 + 8 * h;
    if (call.row_stats && lane % 4 == 0 && row < share.count) {
      const int64_t at = (block.z * call.heads + block.y) * call.queries + share.first + row;
      reinterpret_cast<Pair*>(call.row_stats)[at] = {state.max[h], log2_fast(sum)};
    }
  }
  store_warp_rows<H>(0, state.out, inverse, call.out, share, width);
}

#endif  // UVIC_HOPPER_CODE

// The kernel exists for every architecture, and is empty without the instructions.
template <class H>
UVIC_KERNEL(H::kThreads, 2)
hopper_forward_kernel(const AttentionForward call) {
#if defined(UVIC_HOPPER_CODE)
  attend_rows_of_block<H>(call);
#else
  (void)call;
#endif
}

}  // namespace uvic::model::cuda
