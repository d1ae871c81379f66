// Attention on compute capability 9.0: the products of the other kernels by whole warpgroups
// (wgmma), for head widths from 40 to 64.
//
// A block owns 128 rows, 64 for each of its two warpgroups, whose left factors stay in registers.
// The rows of the other side are streamed, 64 at a time, through three stages: while one is used,
// the copies of the next two are under way, and one barrier for each stage suffices. Rows of 128
// bytes are kept in the 128-byte swizzle that wgmma reads. Few rows beyond
// the blocks of 128 (257 = 2 * 128 + 1) are left to the other kernels. (As a block of the same
// launch that works as those do, they took the place of a whole block and gained nothing on an
// H100.)
#pragma once

#include "model/kernels/cuda/attention_cuda_causal.cuh"

namespace uvic::model::cuda {

template <class Type_, ScoreKind kKind, bool kCausal_>
struct Hopper {
  using Type = Type_;
  static constexpr bool kCog = kKind == ScoreKind::cog, kCausal = kCausal_;
  static constexpr int kWidth = 64, kSlices = 4, kChunks = 8;
  static constexpr int kGroups = 2, kThreads = kGroups * 128, kWarps = kThreads / kLanes;
  static constexpr int kGroupRows = 64, kOwnRows = kGroups * kGroupRows;
  static constexpr int kStreamRows = 64, kStages = 3;
  static constexpr int kRowBytes = 128;
  static constexpr int kOwnTileBytes = kOwnRows * kRowBytes;
  static constexpr int kStreamTileBytes = kStreamRows * kRowBytes;
  static constexpr int kFactBytes = kStreamRows * 16;
};

/// Widths for which these kernels are made: narrower heads would multiply zeros.
constexpr int64_t kNarrowestHopper = 40, kWidestHopper = 64;
/// A last block with fewer rows than this is left to the other kernels.
constexpr int64_t kLeastHopperRows = 33;

/// How many of `rows` owned rows these kernels take.
inline int64_t hopper_rows(int64_t rows) {
  return rows % 128 < kLeastHopperRows ? rows / 128 * 128 : rows;
}

#if defined(UVIC_HOPPER_CODE)

UVIC_DEVICE uint32_t swizzled_chunk(uint32_t tile, int row, int chunk) {
  return tile + row * 128 + ((chunk ^ (row & 7)) << 4);
}

/// Starts copies of `rows` rows, padded with zeros to kRows rows and 64 columns.
template <class H, int kRows>
UVIC_DEVICE void copy_swizzled(
    uint32_t tile, const uint16_t* from, int64_t token_stride, int rows, int width) {
  UVIC_UNROLL_TWICE  // as in copy_rows()
      for (int i = 0; i < kRows * H::kChunks / H::kThreads; ++i) {
    const int index = i * H::kThreads + thread_index();
    const int row = index / H::kChunks, chunk = index % H::kChunks;
    const bool wanted = row < rows && chunk * 8 < width;
    copy_async(swizzled_chunk(tile, row, chunk),
               wanted ? from + row * static_cast<int>(token_stride) + chunk * 8 : from,
               wanted);
  }
}

/// The 64 owned rows of a warpgroup as left factors.
template <class H>
struct GroupRows {
  uint32_t a[H::kSlices][4];
  UVIC_DEVICE void load(uint32_t tile) {
    const int lane = thread_index() % kLanes, row = thread_index() / kLanes * 16 + lane % 16;
    UVIC_UNROLL
    for (int i = 0; i < H::kSlices; ++i)
      load_matrices(a[i], swizzled_chunk(tile, row, 2 * i + lane / 16));
  }
};

/// s [64, 16 kStep] = left right^T, not yet complete.
template <class H, int kTiles>
UVIC_DEVICE void start_widths(float (&s)[kTiles][4], const GroupRows<H>& left, uint32_t right) {
  UVIC_UNROLL
  for (int i = 0; i < H::kSlices; ++i)
    group_multiply_add<typename H::Type, false>(s, left.a[i], right + i * 32, i > 0);
}

/// sum [64, 64] += weights [64, 16 kStep] rows, not yet complete.
template <class H, int kStep>
UVIC_DEVICE void start_rows(float (&sum)[H::kChunks][4],
                            const Weights<1, kStep>& weights,
                            uint32_t rows) {
  UVIC_UNROLL
  for (int n = 0; n < kStep; ++n) {
    const uint32_t a[4] = {weights.word[0][2 * n][0],
                           weights.word[0][2 * n][1],
                           weights.word[0][2 * n + 1][0],
                           weights.word[0][2 * n + 1][1]};
    group_multiply_add<typename H::Type, true>(sum, a, rows + n * 16 * H::kRowBytes, true);
  }
}

template <class H>
UVIC_DEVICE void clear_sum(float (&sum)[H::kChunks][4]) {
  UVIC_UNROLL
  for (int j = 0; j < H::kChunks; ++j) sum[j][0] = sum[j][1] = sum[j][2] = sum[j][3] = 0;
}

/// The owned rows of a block.
template <class H>
struct GroupShare : OwnedRows {
  bool active;  ///< whether the warpgroup has a row that exists

  UVIC_DEVICE GroupShare(int block, int64_t all_rows) {
    first = block * H::kOwnRows;
    const int left = static_cast<int>(all_rows) - first;
    count = left < H::kOwnRows ? left : H::kOwnRows;
    active = thread_index() / 128 * H::kGroupRows < count;
  }
  UVIC_DEVICE int first_of_group() const { return first + thread_index() / 128 * H::kGroupRows; }
  /// The row of a lane, after the first of the warpgroup.
  UVIC_DEVICE static int row_in_group() {
    return thread_index() % 128 / 32 * 16 + thread_index() % 32 / 4;
  }
};

/// The steps that a warpgroup takes on a stage: none, the products alone, or with a mask.
enum class GroupStep { skip, whole, masked };
template <class H, class Rows>
UVIC_DEVICE GroupStep group_step(const Rows& rows, int row, int left) {
  if constexpr (Rows::kAll) {
    return left >= H::kStreamRows ? GroupStep::whole : GroupStep::masked;
  } else {
    if (!rows.some_sees(row, H::kStreamRows)) return GroupStep::skip;
    const bool whole = left >= H::kStreamRows && rows.all_see(row, H::kStreamRows);
    return whole ? GroupStep::whole : GroupStep::masked;
  }
}

/// Streams `rows`: load(stage, first_row, rows) starts the copies of one stage, begin() runs when
/// those before the first are complete, use(stage, rows_left, first_row) for each. A warpgroup that
/// is not active only copies.
template <class H, class Rows, class Load, class Begin, class Use>
UVIC_DEVICE void stream_stages(
    const Rows& rows, bool active, const Load& load, const Begin& begin, const Use& use) {
  const auto load_from = [&](int stage, int first) {
    if (first < rows.end)
      load(stage, first, rows.end - first < H::kStreamRows ? rows.end - first : H::kStreamRows);
    commit_copies();
  };
  load_from(0, rows.begin);
  load_from(1, rows.begin + H::kStreamRows);
  int stage = 0;
  for (int first = rows.begin; first < rows.end; first += H::kStreamRows) {
    wait_copies<1>();
    publish_shared();
    sync_threads();
    // All warps are done with the stage before this one.
    load_from(stage == 0 ? H::kStages - 1 : stage - 1, first + 2 * H::kStreamRows);
    if (active) {
      if (first == rows.begin) begin();
      use(stage, rows.end - first, first);
    }
    stage = stage + 1 == H::kStages ? 0 : stage + 1;
  }
  wait_copies<0>();
}

/// Writes the 16 rows of a warp, half h multiplied by factor[h], through `place`, the shared memory
/// of the owned rows.
template <class H>
UVIC_DEVICE void store_warp_rows(uint32_t place,
                                 const float (&x)[H::kChunks][4],
                                 const float (&factor)[2],
                                 const TokenRows<void>& to,
                                 const GroupShare<H>& share,
                                 int width) {
  const int lane = thread_index() % kLanes, first = thread_index() / kLanes * 16;
  UVIC_UNROLL
  for (int j = 0; j < H::kChunks; ++j) {
    UVIC_UNROLL
    for (int h = 0; h < 2; ++h)
      shared_store<uint32_t>(swizzled_chunk(place, first + lane / 4 + 8 * h, j) + lane % 4 * 4,
                             H::Type::pack(x[j][2 * h] * factor[h], x[j][2 * h + 1] * factor[h]));
  }
  sync_warp();
  uint16_t* const rows = rows_at(to, block_index(), share.first + first);
  UVIC_UNROLL
  for (int i = 0; i < 16 * H::kChunks / kLanes; ++i) {
    const int row = (i * kLanes + lane) / H::kChunks, chunk = lane % H::kChunks;
    if (first + row < share.count && chunk * 8 < width)
      *reinterpret_cast<Words*>(rows + row * to.token + chunk * 8) =
          shared_load<Words>(swizzled_chunk(place, first + row, chunk));
  }
  sync_warp();  // the memory may be written again
}

#endif  // UVIC_HOPPER_CODE

}  // namespace uvic::model::cuda
