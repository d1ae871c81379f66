// What causal calls add: query i sees keys 0 .. keys - queries + i.
//
// A block streams the rows alone that one of its own sees, or that see one of its own. Of these a
// warp skips what none of its rows sees, granule by granule. A stage that all of its rows see takes
// the same steps as in a full call. The rest, at the diagonal, is masked, 16 streamed rows at a time.
#pragma once

#include "model/kernels/cuda/attention_cuda_tiles.cuh"

namespace uvic::model::cuda {

/// The streamed keys of a causal call. kRows: of a warp (or warpgroup), from its first owned query
/// to its last.
template <int kRows>
struct SeenKeys {
  static constexpr bool kAll = false;
  static constexpr int begin = 0;
  int end;    ///< one beyond the last that the block sees
  int first;  ///< how many the first query of the warp sees

  UVIC_DEVICE bool some_sees(int key, int /*keys*/) const { return key < first + kRows - 1; }
  UVIC_DEVICE bool all_see(int key, int keys) const { return key + keys <= first; }
};

/// The streamed queries of a causal call. kRows: of a warp (or warpgroup), from its first owned key
/// to its last.
template <int kRows>
struct SeeingQueries {
  static constexpr bool kAll = false;
  int begin, end;  ///< those that see a key of the block
  int first;       ///< the first that sees the first key of the warp; may be negative

  UVIC_DEVICE bool some_sees(int query, int queries) const { return query + queries > first; }
  UVIC_DEVICE bool all_see(int query, int /*queries*/) const { return query >= first + kRows - 1; }
};

/// How many keys the first query sees beyond its own place.
UVIC_DEVICE int causal_offset(const AttentionForward& call) {
  return static_cast<int>(call.keys) - static_cast<int>(call.queries);
}

/// The keys for a block that owns queries, of which `first` is the first of the warp.
template <class S, int kRows>
UVIC_DEVICE auto streamed_keys(const AttentionForward& call, const OwnedRows& own, int first) {
  if constexpr (S::kCausal) {
    const int offset = causal_offset(call);
    return SeenKeys<kRows>{offset + own.first + own.count, offset + first + 1};
  } else {
    return AllRows{static_cast<int>(call.keys)};
  }
}
/// The queries for a block that owns keys; the first of them is a multiple of kAlign.
template <class S, int kRows, int kAlign>
UVIC_DEVICE auto streamed_queries(const AttentionForward& call, const OwnedRows& own, int first) {
  const int queries = static_cast<int>(call.queries);
  if constexpr (S::kCausal) {
    const int offset = causal_offset(call);
    const int seeing = own.first > offset ? own.first - offset : 0;
    return SeeingQueries<kRows>{seeing / kAlign * kAlign, queries, first - offset};
  } else {
    return AllRows{queries};
  }
}

/// From the first to the last of the rows of a warp with kGranules granules.
template <class S, int kGranules>
constexpr int kRowsOfWarp = ((kGranules - 1) * S::kWarps + 1) * kGranule;

/// A number of leading columns of a step for each row of a warp. Full calls: one for all.
template <class S, bool kCausal = S::kCausal>
struct Columns {
  int count;
  UVIC_DEVICE int of(int /*granule*/, int /*half*/) const { return count; }
};
/// Causal: `count` is that of the row lane / 4 of the first granule, each row has one more.
template <class S>
struct Columns<S, true> {
  int count;
  UVIC_DEVICE int of(int granule, int half) const {
    return count + granule * S::kWarps * kGranule + 8 * half;
  }
};

/// The columns of the streamed rows from `at` on, for owned rows of which that of a lane is `row`
/// after the first of the warp: the keys that a query sees, or the queries that do not see a key. Of
/// a full call those that exist.
template <class S, class Rows>
UVIC_DEVICE Columns<S> columns_at(const Rows& rows, int row, int at, int left) {
  if constexpr (Rows::kAll)
    return {left};
  else
    return {rows.first + row - at};
}

}  // namespace uvic::model::cuda
