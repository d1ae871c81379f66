// The right factor of a product, packed in groups of kMaxPanels panels, [group][step][lanes of the
// group], so that a register tile reads contiguous memory. Included by isa_*.cpp only.
#pragma once

#include "model/kernels/cpu/kernel_table.h"
#include "model/kernels/cpu/small_products.h"

namespace uvic::model::UVIC_ISA {

constexpr int64_t kGroupColumns = kMaxPanels * kLanes;

UVIC_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
UVIC_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// Lanes of the group that begins at `column`.
UVIC_INLINE int64_t group_lanes(int64_t columns, int64_t column) {
  return smaller(kGroupColumns, rounded_up(columns - column, kLanes));
}

int64_t steps_of(ElementType type, int64_t inner) {
  return type == ElementType::bf16 ? words_of<Bf16Words>(inner) : inner;
}

int64_t packed_floats(ElementType type, int64_t inner, int64_t columns) {
  return steps_of(type, inner) * rounded_up(columns, kLanes);
}

int64_t pack_groups(int64_t columns) { return divide_up(columns, kGroupColumns); }

/// Word of step `s`: element s, or elements 2s and 2s + 1 narrowed, of kLanes columns whose floats
/// are `first` and `second`.
UVIC_INLINE Vec packed_word(SingleWords, Vec first, Vec) { return first; }
#if defined(__AVX512BF16__)
UVIC_INLINE Vec packed_word(PairWords, Vec first, Vec second) { return paired(first, second); }
#endif

/// kLanes columns of b from `column` on, all steps, to + step * lanes.
template <class Words>
void pack_panel(const PackCall& call, int64_t column, float* to, int64_t lanes) {
  constexpr int64_t n = Words::kPerWord;
  const int64_t valid = smaller(kLanes, call.columns - column), steps = words_of<Words>(call.inner);
  if (call.column_stride == 1) {
    const auto row = [&](int64_t i) {
      return i < call.inner ? load_lanes(call.weight + i * call.inner_stride + column, valid)
                            : Vec{};
    };
    for (int64_t s = 0; s < steps; ++s)
      store(to + s * lanes, packed_word(Words{}, row(s * n), n == 2 ? row(s * n + 1) : Vec{}));
    return;
  }
  for (int64_t i = 0; i < call.inner; i += kLanes) {
    Vec x[kLanes];  // x[c] lane j: element i + j of column c; after the transposition x[j] lane c
#pragma GCC unroll 16
    for (int c = 0; c < kLanes; ++c)
      x[c] = c < valid ? load_lanes(call.weight + (column + c) * call.column_stride + i,
                                    smaller(kLanes, call.inner - i))
                       : Vec{};
    transpose_in_place(x);
#pragma GCC unroll 16
    for (int j = 0; j < kLanes; j += n)
      if (i + j < call.inner)
        store(to + (i + j) / n * lanes, packed_word(Words{}, x[j], x[j + n - 1]));
  }
}

void pack_weight(const PackCall& call, int64_t begin, int64_t end) {
  const int64_t steps = steps_of(call.type, call.inner);
  for (int64_t group = begin; group < end; ++group) {
    const int64_t column = group * kGroupColumns, lanes = group_lanes(call.columns, column);
    for (int64_t c = 0; c < lanes; c += kLanes) {
      float* to = call.packed + column * steps + c;
      call.type == ElementType::bf16 ? pack_panel<Bf16Words>(call, column + c, to, lanes)
                                     : pack_panel<SingleWords>(call, column + c, to, lanes);
    }
  }
}

}  // namespace uvic::model::UVIC_ISA
