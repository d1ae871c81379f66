// Products of matrices that fit into the caches, for the attention kernels. Operands are packed as
// 32-bit words of one float32 or two adjacent bf16, so that both precisions use the same code.
// Included by isa_*.cpp only.
#pragma once

#include "model/kernels/cpu/simd.h"

namespace uvic::model::UVIC_ISA {

/// A word is one float32.
struct SingleWords {
  static constexpr int kPerWord = 1;
  UVIC_INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return a * b + c; }
};

#if defined(__AVX512BF16__)
/// A word is two bf16, adjacent along the summed index; sums are float32.
struct PairWords {
  static constexpr int kPerWord = 2;
  UVIC_INLINE Vec multiply_add(Vec a, Vec b, Vec c) {
    return (Vec)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b);
  }
};
#endif

/// How the kernels of this instruction set multiply bf16.
#if defined(__AVX512BF16__)
using Bf16Words = PairWords;
#else
using Bf16Words = SingleWords;  // widened to float32 during packing
#endif

/// Left factor: word (row i, step k) at data + i * row + k * step.
struct Left {
  const float* data;
  int64_t row, step;
};

/// Right factor: step k of the kLanes columns of panel j at data + j * panel + k * step.
struct Right {
  const float* data;
  int64_t panel, step;
};

/// float32 result: row i at data + i * row.
struct Product {
  float* data;
  int64_t row;
};

/// The largest number of panels of a register tile, and its rows: sums use up to 24 of 32 registers
/// (12 of 16), operands the others.
#if defined(UVIC_AMX)
constexpr int kMaxPanels = 2;  // two column tiles, whose right factor stays in L1
#else
constexpr int kMaxPanels = kRegisters == 32 ? 4 : 2;
#endif
constexpr int tile_rows(int panels) {
  const int rows = (kRegisters == 32 ? 24 : kLanes == 8 ? 12 : 8) / panels;
  return rows > 12 ? 12 : rows;
}

/// c (+)= a b for kRows rows and kPanels panels, the sums in registers.
template <class Words, int kRows, int kPanels>
UVIC_INLINE void register_tile(int64_t steps, Left a, Right b, Product c, bool add) {
  Vec sum[kRows][kPanels];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j)
      sum[i][j] = add ? load(c.data + i * c.row + j * kLanes) : Vec{};
  for (int64_t k = 0; k < steps; ++k) {
    Vec right[kPanels];
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) right[j] = load(b.data + j * b.panel + k * b.step);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vec left = splat(a.data[i * a.row + k * a.step]);
#pragma GCC unroll 4
      for (int j = 0; j < kPanels; ++j) sum[i][j] = Words::multiply_add(left, right[j], sum[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kPanels; ++j) store(c.data + i * c.row + j * kLanes, sum[i][j]);
}

template <class Words, int kRows, int kPanels>
__attribute__((noinline)) void product_strip(
    int64_t rows, int64_t steps, Left a, Right b, Product c, bool add) {
  for (; rows >= kRows; rows -= kRows, a.data += kRows * a.row, c.data += kRows * c.row)
    register_tile<Words, kRows, kPanels>(steps, a, b, c, add);
  if constexpr (kRows > 1)
    if (rows > 0) product_strip<Words, kRows - 1, kPanels>(rows, steps, a, b, c, add);
}

#if defined(UVIC_AMX)
void tile_product(
    int64_t rows, int64_t panels, int64_t steps, Left a, Right b, Product c, bool add);
/// Whether products of these words run on AMX's tiles.
template <class Words>
constexpr bool kOnTiles = Words::kPerWord == 2;
#else
template <class Words>
constexpr bool kOnTiles = false;
/// Reserves the tile registers for a sequence of products. Without tile registers it does nothing.
struct MultiplierUse {};
#endif

/// Rows per register tile, for callers that choose the size of their products.
template <class Words>
constexpr int64_t product_height(int64_t panels) {
  return kOnTiles<Words> ? 32 : tile_rows(static_cast<int>(panels));
}

/// c = a b, or c += a b: `rows` by `panels * kLanes`, summed over `steps` words. The order of a sum
/// depends on `steps` only.
template <class Words>
void product(int64_t rows, int64_t panels, int64_t steps, Left a, Right b, Product c, bool add) {
#if defined(UVIC_AMX)
  if constexpr (kOnTiles<Words>) return tile_product(rows, panels, steps, a, b, c, add);
#endif
  while (panels > 0) {
    int64_t taken = panels < kMaxPanels ? panels : kMaxPanels;
    if (kMaxPanels == 4 && panels == 5) taken = 3;  // 3 + 2 use the multipliers better than 4 + 1
    if (taken == 1) product_strip<Words, tile_rows(1), 1>(rows, steps, a, b, c, add);
    if (taken == 2) product_strip<Words, tile_rows(2), 2>(rows, steps, a, b, c, add);
    if constexpr (kMaxPanels == 4) {
      if (taken == 3) product_strip<Words, tile_rows(3), 3>(rows, steps, a, b, c, add);
      if (taken == 4) product_strip<Words, tile_rows(4), 4>(rows, steps, a, b, c, add);
    }
    panels -= taken;
    b.data += taken * b.panel;
    c.data += taken * kLanes;
  }
}

/// Lane i is word from[i] of the 2 kLanes words of a and b.
UVIC_INLINE Vec shuffled(Vec a, Vec b, IVec from) {
#ifdef __clang__  // has no shuffle by a vector; slow, and for the fuzz targets alone
  Vec c;
  for (int i = 0; i < kLanes; ++i) c[i] = from[i] < kLanes ? a[from[i]] : b[from[i] - kLanes];
  return c;
#else
  return __builtin_shuffle(a, b, from);
#endif
}

/// Transposes kLanes vectors of kLanes words by log2(kLanes) perfect shuffles of the rows.
UVIC_INLINE void transpose_in_place(Vec (&x)[kLanes]) {
  IVec low, high;
  for (int i = 0; i < kLanes; ++i) {
    low[i] = i / 2 + (i % 2) * kLanes;
    high[i] = low[i] + kLanes / 2;
  }
#pragma GCC unroll 4
  for (int width = 1; width < kLanes; width *= 2) {
    Vec y[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i) {
      y[2 * i] = shuffled(x[i], x[i + kLanes / 2], low);
      y[2 * i + 1] = shuffled(x[i], x[i + kLanes / 2], high);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) x[i] = y[i];
  }
}

#if defined(__AVX512BF16__)
constexpr uint16_t kInTurns[] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};

/// Two rows as one row of words.
UVIC_INLINE Vec paired(Vec first, Vec second) {
  const __m512i side_by_side = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  const __m512i in_turns = _mm512_loadu_si512(kInTurns);
  return (Vec)_mm512_permutexvar_epi16(in_turns, side_by_side);
}
#endif

constexpr int64_t rounded_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// The layout of `width` elements of a row in words.
template <class Words>
constexpr int64_t words_of(int64_t width) {
  return (width + Words::kPerWord - 1) / Words::kPerWord;
}

/// kLanes words of a row, from element `d` on; 0 beyond the end of the row.
template <class T>
UVIC_INLINE Vec load_words(SingleWords, const T* row, int64_t d, int64_t width) {
  return width - d >= kLanes ? load_as_float(row + d) : load_as_float(row + d, width - d);
}
#if defined(__AVX512BF16__)
UVIC_INLINE Vec load_words(PairWords, const uint16_t* row, int64_t d, int64_t width) {
  const int64_t left = width - d;
  const __mmask32 mask = left >= 32 ? ~__mmask32{0} : (__mmask32{1} << left) - 1;
  return (Vec)_mm512_maskz_loadu_epi16(mask, row + d);
}
#endif

/// Rows as a left factor whose steps run along a row: [rows][row_words], row_words a multiple of
/// kLanes.
template <class Words, class T>
void pack_rows(
    const T* from, int64_t stride, int64_t rows, int64_t width, float* to, int64_t row_words) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t w = 0; w < row_words; w += kLanes)
      store(to + r * row_words + w,
            load_words(Words{}, from + r * stride, w * Words::kPerWord, width));
}

/// Rows as a right factor whose columns are the rows: panels of kLanes rows, [panel][step][kLanes],
/// steps = words of a row. Rows beyond the last are 0.
template <class Words, class T>
void pack_columns(const T* from, int64_t stride, int64_t rows, int64_t width, float* to) {
  const int64_t steps = words_of<Words>(width);
  for (int64_t r = 0; r < rows; r += kLanes)
    for (int64_t w = 0; w < steps; w += kLanes) {
      Vec x[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i)
        x[i] = r + i < rows
                   ? load_words(Words{}, from + (r + i) * stride, w * Words::kPerWord, width)
                   : Vec{};
      transpose_in_place(x);
      const int64_t n = steps - w < kLanes ? steps - w : kLanes;
      float* panel = to + r * steps + w * kLanes;
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i)
        if (i < n) store(panel + i * kLanes, x[i]);
    }
}

/// Rows as a right factor whose steps are the rows: [rows / kPerWord][columns], columns a multiple
/// of kLanes. A word has the elements of one column in kPerWord rows. Missing elements of the last
/// step are 0.
template <class T>
void pack_steps(SingleWords,
                const T* from,
                int64_t stride,
                int64_t rows,
                int64_t width,
                float* to,
                int64_t columns) {
  pack_rows<SingleWords>(from, stride, rows, width, to, columns);
}
#if defined(__AVX512BF16__)
inline void pack_steps(PairWords,
                       const uint16_t* from,
                       int64_t stride,
                       int64_t rows,
                       int64_t width,
                       float* to,
                       int64_t columns) {
  for (int64_t r = 0; r < rows; r += 2)
    for (int64_t d = 0; d < columns; d += kLanes) {
      const int64_t n = width - d < kLanes ? width - d : kLanes;
      const auto wide = [&](int64_t row) {
        return bits(load_as_float(from + row * stride + d, n));
      };  // bf16 in the upper half
      const UVec first = wide(r) >> 16, second = r + 1 < rows ? wide(r + 1) : UVec{};
      store(to + r / 2 * columns + d, from_bits(first | second));
    }
}
#endif

}  // namespace uvic::model::UVIC_ISA

#if defined(UVIC_AMX)
#include "model/kernels/cpu/tile_products.h"
#endif
