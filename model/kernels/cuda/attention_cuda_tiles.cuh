// Tiles of token rows: from device memory to shared memory, to fragments, through products, and
// back.
//
// The three attention kernels have the same structure. A block owns some token rows (queries, or
// keys) and sums over all rows of the other side, which are streamed through shared memory in two
// stages. A warp processes granules of 16 owned rows. All intermediate results of a warp stay in
// its registers: the scores of one product have the layout that the next product reads.
//
// Rows that do not fill a block (257 = 2 * 128 + 1) cost little: if one or two granules remain, all
// warps process each of them and divide the streamed rows. Causal calls: attention_cuda_causal.cuh.
#pragma once

#include "model/kernels/cuda/attention_cuda.h"
#include "model/kernels/cuda/cuda_block.cuh"

namespace uvic::model::cuda {

constexpr int kLanes = 32;
constexpr int kGranule = 16;
constexpr float kLargestFloat = 3.402823466e38f;
constexpr float kLog2E = 1.44269504f;

/// The shape of one instance. kWidth: head width rounded up to what is compiled.
template <class Type_,
          ScoreKind kKind,
          int kWidth_,
          int kGranules_,    // of owned rows for each warp of a full block
          int kStreamRows_,  // in a stage
          int kStep_,        // granules of streamed rows per step of a warp
          bool kOwnInRegisters_,
          int kOwnTiles_,  // matrices of owned rows: q, or two for the gradients
          bool kCausal_>
struct Shape {
  using Type = Type_;
  static constexpr bool kCog = kKind == ScoreKind::cog;
  static constexpr int kWidth = kWidth_, kGranules = kGranules_, kStreamRows = kStreamRows_,
                       kStep = kStep_;
  static constexpr bool kOwnInRegisters = kOwnInRegisters_, kCausal = kCausal_;
  static constexpr int kWarps = 4, kThreads = kWarps * kLanes;
  static constexpr int kOwnRows = kWarps * kGranules * kGranule;
  static constexpr int kSlices = kWidth / 16;  // slices of the width, one per product
  static constexpr int kChunks = kWidth / 8;   // 16 bytes each
  // An odd number of 16-byte chunks: eight rows below each other lie in different banks.
  static constexpr int kRowBytes = (kChunks + 1) * 16;
  static constexpr int kOwnTileBytes = kOwnRows * kRowBytes;
  static constexpr int kOwnBytes = kOwnTiles_ * kOwnTileBytes;
  static constexpr int kStreamTileBytes = kStreamRows * kRowBytes;
  static constexpr int kFactBytes = 16;  // row facts of a streamed row, if they are streamed
  static_assert(kWidth % 16 == 0 && kStreamRows % (kStep * kGranule) == 0, "whole steps");
};

/// Owned rows of a block.
struct OwnedRows {
  int first, count;  ///< count > 0: rows that exist
};

/// Which block of `queries` owned queries a block of threads takes. In causal calls the last
/// queries have the most keys: their blocks start first, and short ones fill the end of the launch.
template <class S>
UVIC_DEVICE int block_of_queries(int64_t queries) {
  const int x = block_index().x;
  return S::kCausal ? (static_cast<int>(queries) - 1) / S::kOwnRows - x : x;
}

/// Rows before `from` belong to other kernels.
template <class S>
UVIC_DEVICE OwnedRows owned_rows(int block, int64_t from, int64_t all_rows) {
  const int first = static_cast<int>(from) + block * S::kOwnRows,
            left = static_cast<int>(all_rows) - first;
  return {first, left < S::kOwnRows ? left : S::kOwnRows};
}

template <class S>
inline int64_t row_blocks(int64_t rows) {
  return (rows + S::kOwnRows - 1) / S::kOwnRows;
}

UVIC_DEVICE int granules_of(int rows) { return (rows + kGranule - 1) / kGranule; }

/// The work of a warp: granules `granule`, granule + warps, ... of the owned rows, and the streamed
/// granules that are `part` modulo `parts`.
struct WarpShare {
  int granule, part, parts;
};

template <class S, bool kSplit>
UVIC_DEVICE WarpShare warp_share(int rows) {
  const int warp = thread_index() / kLanes;
  if (!kSplit) return {warp, 0, 1};
  const int groups = granules_of(rows) > 1 ? 2 : 1;
  return {warp % groups, warp / groups, S::kWarps / groups};
}

template <int kValue>
struct Number {
  static constexpr int value = kValue;
};

/// Calls body(granules per warp, whether warps divide the streamed rows) for `rows` owned rows.
template <class S, class Body>
UVIC_DEVICE void with_fitting_rows(int rows, const Body& body) {
  const int granules = granules_of(rows);
  if (granules <= S::kWarps / 2)
    body(Number<1>(), Number<1>());
  else if (S::kGranules == 1 || granules <= S::kWarps)
    body(Number<1>(), Number<0>());
  else
    body(Number<S::kGranules>(), Number<0>());
}

/// 16-bit rows of one image and head, from row `first`.
UVIC_DEVICE const uint16_t* rows_at(const TokenRows<const void>& x,
                                    const BlockIndex& block,
                                    int64_t first) {
  return static_cast<const uint16_t*>(x.data) + block.z * x.batch + block.y * x.head +
         first * x.token;
}
UVIC_DEVICE uint16_t* rows_at(const TokenRows<void>& x, const BlockIndex& block, int64_t first) {
  return static_cast<uint16_t*>(x.data) + block.z * x.batch + block.y * x.head + first * x.token;
}

/// Starts copies of `rows` rows, padded with zeros to `padded` rows and to S::kWidth columns.
template <class S, int kRows>
UVIC_DEVICE void copy_rows(
    uint32_t tile, const uint16_t* from, int64_t token_stride, int rows, int padded, int width) {
  UVIC_UNROLL_TWICE  // more unrolling uses registers for addresses instead of sums
      for (int i = 0; i < kRows * S::kChunks / S::kThreads; ++i) {
    const int chunk_index = i * S::kThreads + thread_index();
    const int row = chunk_index / S::kChunks, chunk = chunk_index % S::kChunks;
    if (row >= padded) continue;
    const bool wanted = row < rows && chunk * 8 < width;
    copy_async(tile + row * S::kRowBytes + chunk * 16,
               wanted ? from + row * static_cast<int>(token_stride) + chunk * 8 : from,
               wanted);
  }
}

/// The owned rows of the block. A warp with several granules reads all of them, also those beyond
/// the last row.
template <class S, int kGranules>
UVIC_DEVICE void copy_owned(uint32_t tile,
                            const TokenRows<const void>& x,
                            const OwnedRows& own,
                            int width) {
  copy_rows<S, S::kOwnRows>(tile,
                            rows_at(x, block_index(), own.first),
                            x.token,
                            own.count,
                            kGranules > 1 ? S::kOwnRows : granules_of(own.count) * kGranule,
                            width);
}

/// Rows `first` to first + rows of the streamed rows.
template <class S>
UVIC_DEVICE void copy_streamed(
    uint32_t tile, const TokenRows<const void>& x, int first, int rows, int width) {
  copy_rows<S, S::kStreamRows>(
      tile, rows_at(x, block_index(), first), x.token, rows, granules_of(rows) * kGranule, width);
}

/// The address of this lane for a load of 16 rows by 16 columns, as the left factor of a product,
/// or (transposed) as a right factor whose inner dimension is the rows.
template <class S>
UVIC_DEVICE uint32_t left_lane() {
  const int lane = thread_index() % kLanes;
  return lane % 16 * S::kRowBytes + lane / 16 * 16;
}
/// The same for 16 rows by 16 columns as a right factor whose inner dimension is the columns.
template <class S>
UVIC_DEVICE uint32_t right_lane() {
  const int lane = thread_index() % kLanes;
  return (lane % 8 + lane / 16 * 8) * S::kRowBytes + lane / 8 % 2 * 16;
}

/// Owned rows as left factors, in registers or loaded again for each product.
template <class S, int kGranules, bool kInRegisters>
struct LeftRows;

template <class S, int kGranules>
struct LeftRows<S, kGranules, true> {
  uint32_t a[kGranules][S::kSlices][4];
  UVIC_DEVICE void load(uint32_t tile, int granule) {
    UVIC_UNROLL
    for (int g = 0; g < kGranules; ++g) {
      UVIC_UNROLL
      for (int i = 0; i < S::kSlices; ++i)
        load_matrices(
            a[g][i],
            tile + (granule + g * S::kWarps) * kGranule * S::kRowBytes + i * 32 + left_lane<S>());
    }
  }
  UVIC_DEVICE void slice(int i, uint32_t (&to)[kGranules][4]) const {
    UVIC_UNROLL
    for (int g = 0; g < kGranules; ++g) {
      UVIC_UNROLL
      for (int w = 0; w < 4; ++w) to[g][w] = a[g][i][w];
    }
  }
};

template <class S, int kGranules>
struct LeftRows<S, kGranules, false> {
  uint32_t at = 0;
  UVIC_DEVICE void load(uint32_t tile, int granule) {
    at = tile + granule * kGranule * S::kRowBytes + left_lane<S>();
  }
  UVIC_DEVICE void slice(int i, uint32_t (&to)[kGranules][4]) const {
    UVIC_UNROLL
    for (int g = 0; g < kGranules; ++g)
      load_matrices(to[g], at + g * S::kWarps * kGranule * S::kRowBytes + i * 32);
  }
};

/// s [granules][16 rows, kTiles * 8] = left right^T, both summed over the width.
template <class S, int kGranules, int kTiles, bool kInRegisters>
UVIC_DEVICE void multiply_widths(float (&s)[kGranules][kTiles][4],
                                 const LeftRows<S, kGranules, kInRegisters>& left,
                                 uint32_t right) {
  UVIC_UNROLL
  for (int g = 0; g < kGranules; ++g) {
    UVIC_UNROLL
    for (int j = 0; j < kTiles; ++j) {
      UVIC_UNROLL
      for (int e = 0; e < 4; ++e) s[g][j][e] = 0;
    }
  }
  UVIC_UNROLL
  for (int i = 0; i < S::kSlices; ++i) {
    uint32_t a[kGranules][4];
    left.slice(i, a);
    UVIC_UNROLL
    for (int n = 0; n < kTiles / 2; ++n) {
      uint32_t b[4];
      load_matrices(b, right + n * kGranule * S::kRowBytes + i * 32 + right_lane<S>());
      UVIC_UNROLL
      for (int g = 0; g < kGranules; ++g) {
        multiply_add<typename S::Type>(s[g][2 * n], a[g], b[0], b[1]);
        multiply_add<typename S::Type>(s[g][2 * n + 1], a[g], b[2], b[3]);
      }
    }
  }
}

/// Scores after rounding, as the left factor of the next product.
template <int kGranules, int kStep>
struct Weights {
  uint32_t word[kGranules][2 * kStep]
               [2];  ///< [..][j][half]: rows g + 8 half, columns 8 j + 2t 2t+1
};

/// Score j of the row of a half, in a tile with `valid` columns.
UVIC_DEVICE bool exists(int j, int e, int valid) {
  return j * 8 + thread_index() % 4 * 2 + e < valid;
}

/// sum [granules][16 rows, width] += weights [16 rows, kStep * 16] rows [kStep * 16, width].
template <class S, int kGranules, int kStep>
UVIC_DEVICE void multiply_rows(float (&sum)[kGranules][S::kChunks][4],
                               const Weights<kGranules, kStep>& weights,
                               uint32_t rows) {
  UVIC_UNROLL
  for (int n = 0; n < kStep; ++n) {
    UVIC_UNROLL
    for (int i = 0; i < S::kSlices; ++i) {
      uint32_t b[4];
      load_matrices_transposed(b, rows + n * kGranule * S::kRowBytes + i * 32 + left_lane<S>());
      UVIC_UNROLL
      for (int g = 0; g < kGranules; ++g) {
        const uint32_t a[4] = {weights.word[g][2 * n][0],
                               weights.word[g][2 * n][1],
                               weights.word[g][2 * n + 1][0],
                               weights.word[g][2 * n + 1][1]};
        multiply_add<typename S::Type>(sum[g][2 * i], a, b[0], b[1]);
        multiply_add<typename S::Type>(sum[g][2 * i + 1], a, b[2], b[3]);
      }
    }
  }
}

/// Writes 16 rows, with half h of the rows multiplied by factor[h]. The rows go through the memory
/// of the granule in shared memory, so that writes to device memory have 16 bytes.
template <class S>
UVIC_DEVICE void store_granule(uint32_t place,
                               const float (&x)[S::kChunks][4],
                               const float (&factor)[2],
                               uint16_t* to,
                               int64_t token_stride,
                               int rows,
                               int width) {
  const int lane = thread_index() % kLanes, row = lane / 4, pair = lane % 4;
  UVIC_UNROLL
  for (int j = 0; j < S::kChunks; ++j) {
    UVIC_UNROLL
    for (int h = 0; h < 2; ++h)
      shared_store<uint32_t>(place + (row + 8 * h) * S::kRowBytes + j * 16 + pair * 4,
                             S::Type::pack(x[j][2 * h] * factor[h], x[j][2 * h + 1] * factor[h]));
  }
  sync_warp();
  UVIC_UNROLL
  for (int i = 0; i < kGranule * S::kChunks / kLanes; ++i) {
    const int chunk_index = i * kLanes + lane;
    const int from_row = chunk_index / S::kChunks, chunk = chunk_index % S::kChunks;
    if (from_row < rows && chunk * 8 < width)
      *reinterpret_cast<Words*>(to + from_row * token_stride + chunk * 8) =
          shared_load<Words>(place + from_row * S::kRowBytes + chunk * 16);
  }
  sync_warp();  // the memory may be written again
}

/// The streamed rows of a full call: all.
struct AllRows {
  static constexpr bool kAll = true;
  static constexpr int begin = 0;
  int end;
  UVIC_DEVICE static constexpr bool some_sees(int, int) { return true; }
  UVIC_DEVICE static constexpr bool all_see(int, int) { return true; }
};

/// Streams `rows`: AllRows, or SeenKeys or SeeingQueries of a causal call.
///
/// load(stage, first_row, rows) starts the copies of one stage. begin() runs once, after the copies
/// of the first stage (and all earlier copies) are complete. Then wide(stage, row) runs for each
/// S::kStep whole granules of a stage that all owned rows see, and
/// single(stage, row, rows_left, streamed_row) for each other granule that one of them sees. `row`
/// counts from the stage, streamed_row from the first of the call. A warp that is not `active` only
/// copies.
template <class S, bool kSplit, class Rows, class Load, class Begin, class Wide, class Single>
UVIC_DEVICE void stream_rows(const Rows& rows,
                             const WarpShare& share,
                             bool active,
                             const Load& load,
                             const Begin& begin,
                             const Wide& wide,
                             const Single& single) {
  const int rows_of_all = rows.end - rows.begin;
  load(0, rows.begin, rows_of_all < S::kStreamRows ? rows_of_all : S::kStreamRows);
  commit_copies();
  // Owned rows in shared memory are addresses alone and need not wait; the causal kernel of keys has
  // no register left for where it began.
  constexpr bool kEarly = !Rows::kAll && !S::kOwnInRegisters;
  if (kEarly && active) begin();
  int stage = 0;
  for (int first = rows.begin; first < rows.end; first += S::kStreamRows, stage ^= 1) {
    const int next = first + S::kStreamRows, left = rows.end - first;
    if (next < rows.end)
      load(stage ^ 1, next, rows.end - next < S::kStreamRows ? rows.end - next : S::kStreamRows);
    commit_copies();
    wait_copies<1>();
    sync_threads();
    if (active) {
      if (!kEarly && first == rows.begin) begin();
      const int here = left < S::kStreamRows ? left : S::kStreamRows;
      int granule = share.part;
      if (!kSplit && rows.all_see(first, S::kStreamRows)) {
        UVIC_UNROLL
        for (int step = 0; step < S::kStreamRows / (S::kStep * kGranule); ++step) {
          if ((granule + S::kStep) * kGranule > here) break;
          wide(stage, granule * kGranule);
          granule += S::kStep;
        }
      }
      for (; granule * kGranule < here; granule += share.parts) {
        const int row = granule * kGranule;
        if (rows.some_sees(first + row, kGranule)) single(stage, row, here - row, first + row);
      }
    }
    sync_threads();  // the next copies overwrite this stage
  }
  wait_copies<0>();
}

/// Numbers for the warp that adds the parts of a granule: number i of each lane.
UVIC_DEVICE uint32_t handed_over(uint32_t base, int numbers, int warp, int i) {
  return base + ((warp * numbers + i) * kLanes + thread_index() % kLanes) * 4;
}

}  // namespace uvic::model::cuda
