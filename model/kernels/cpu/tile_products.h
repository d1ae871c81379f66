// Products of bf16 words on AMX tiles: 2 x 2 tiles of sums (32 rows by 32 columns) per pass.
// Included by isa_amx_*.cpp only.
//
// A row of the result depends only on the same row of the left factor, not on the other rows of the
// tile.
#pragma once

#include "model/kernels/cpu/small_products.h"
#include "model/kernels/cpu/tile_registers.h"

namespace uvic::model::UVIC_ISA {

constexpr int64_t kStripRows = 2 * kTileRows;
constexpr int64_t kStripSteps = 512;  // most steps of one call: the size of a transposed strip

/// Rows of the last strip for which the registers of this thread are configured; 0: not configured.
static thread_local int64_t t_shaped_rows = 0;

/// Reserves the tile registers for a sequence of products. Nothing else may use them meanwhile.
struct MultiplierUse {
  MultiplierUse() { t_shaped_rows = 0; }
  ~MultiplierUse() {
    tile_release();
    t_shaped_rows = 0;
  }
};

// Registers: sums 0 to 3 (row tile, column tile: 0 0, 0 1, 1 0, 1 1), left factors 4 and 5, right
// factors 6 and 7.
UVIC_INLINE void shape_for(int64_t rows) {
  if (t_shaped_rows == rows) return;
  const int64_t first = rows < kTileRows ? rows : kTileRows, second = rows - first;
  TileShapes shapes;
  for (int tile = 0; tile < kTiles; ++tile) {
    const bool of_second = tile == 2 || tile == 3 || tile == 5;
    shapes.row_bytes[tile] = 4 * kTileWords;
    // A register must have at least one row, also if it is not used.
    shapes.rows[tile] = static_cast<uint8_t>(tile >= 6   ? kTileRows
                                             : of_second ? (second > 0 ? second : 1)
                                                         : first);
  }
  tile_shapes(shapes);
  t_shaped_rows = rows;
}

/// 16 steps: left factors at `a0` (and `a1`, row tile 1), right factors at `b0` (and `b1`).
template <bool kTwoRows, bool kTwoPanels>
UVIC_INLINE void multiply_tiles(const float* a0,
                                const float* a1,
                                int64_t a_row,
                                const float* b0,
                                const float* b1,
                                int64_t b_step) {
  UVIC_TILE_LOAD(4, a0, a_row);
  UVIC_TILE_LOAD(6, b0, b_step);
  UVIC_TILE_MULTIPLY_ADD(0, 4, 6);
  if constexpr (kTwoPanels) {
    UVIC_TILE_LOAD(7, b1, b_step);
    UVIC_TILE_MULTIPLY_ADD(1, 4, 7);
  }
  if constexpr (kTwoRows) {
    UVIC_TILE_LOAD(5, a1, a_row);
    UVIC_TILE_MULTIPLY_ADD(2, 5, 6);
    if constexpr (kTwoPanels) UVIC_TILE_MULTIPLY_ADD(3, 5, 7);
  }
}

/// The remaining steps, which do not fill a tile, padded with zeros.
struct alignas(64) TileTail {
  float left[kStripRows * kTileWords], right[2][kTileRows * kTileWords];
};

/// c (+)= a b for one strip of up to 32 rows and one or two panels; a.step is 1.
template <bool kTwoRows, bool kTwoPanels>
void tile_strip(int64_t rows, int64_t steps, Left a, Right b, Product c, bool add) {
  const float* a1 = a.data + kTileRows * a.row;
  const float* b1 = b.data + b.panel;
  float* c1 = c.data + kTileRows * c.row;
  if (add) {
    UVIC_TILE_LOAD(0, c.data, c.row);
    if constexpr (kTwoPanels) UVIC_TILE_LOAD(1, c.data + kLanes, c.row);
    if constexpr (kTwoRows) UVIC_TILE_LOAD(2, c1, c.row);
    if constexpr (kTwoRows && kTwoPanels) UVIC_TILE_LOAD(3, c1 + kLanes, c.row);
  } else {
    UVIC_TILE_ZERO(0);
    if constexpr (kTwoPanels) UVIC_TILE_ZERO(1);
    if constexpr (kTwoRows) UVIC_TILE_ZERO(2);
    if constexpr (kTwoRows && kTwoPanels) UVIC_TILE_ZERO(3);
  }
  int64_t k = 0;
  for (; k + kTileWords <= steps; k += kTileWords)
    multiply_tiles<kTwoRows, kTwoPanels>(
        a.data + k, a1 + k, a.row, b.data + k * b.step, b1 + k * b.step, b.step);
  if (k < steps) {
    TileTail tail;
    const __mmask16 some = first_lanes(steps - k);
    for (int64_t r = 0; r < rows; ++r)
      store(tail.left + r * kTileWords, (Vec)_mm512_maskz_loadu_ps(some, a.data + r * a.row + k));
    for (int64_t s = 0; s < kTileRows; ++s)
      for (int panel = 0; panel < (kTwoPanels ? 2 : 1); ++panel)
        store(tail.right[panel] + s * kTileWords,
              k + s < steps ? load(b.data + panel * b.panel + (k + s) * b.step) : Vec{});
    multiply_tiles<kTwoRows, kTwoPanels>(tail.left,
                                         tail.left + kTileRows * kTileWords,
                                         kTileWords,
                                         tail.right[0],
                                         tail.right[1],
                                         kTileWords);
  }
  UVIC_TILE_STORE(0, c.data, c.row);
  if constexpr (kTwoPanels) UVIC_TILE_STORE(1, c.data + kLanes, c.row);
  if constexpr (kTwoRows) UVIC_TILE_STORE(2, c1, c.row);
  if constexpr (kTwoRows && kTwoPanels) UVIC_TILE_STORE(3, c1 + kLanes, c.row);
}

/// Transposes a left factor with contiguous rows (a.row is 1) to one with contiguous steps. Rows
/// are `to_row` words apart. Steps are padded with zeros to whole vectors.
UVIC_INLINE void turn_strip(int64_t rows, int64_t steps, Left a, float* to, int64_t to_row) {
  for (int64_t r = 0; r < rows; r += kLanes)
    for (int64_t k = 0; k < steps; k += kLanes) {
      const Mask valid = first_lanes(rows - r < kLanes ? rows - r : kLanes);
      Vec x[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i)
        x[i] = k + i < steps ? (Vec)_mm512_maskz_loadu_ps(valid, a.data + r + (k + i) * a.step)
                             : Vec{};
      transpose_in_place(x);
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) store(to + (r + i) * to_row + k, x[i]);
    }
}

/// c = a b, or c += a b, as product() for single words.
void tile_product(
    int64_t rows, int64_t panels, int64_t steps, Left a, Right b, Product c, bool add) {
  alignas(64) float turned[kStripRows * kStripSteps];
  for (int64_t k = 0; k < steps; k += kStripSteps) {
    const int64_t some_steps = steps - k < kStripSteps ? steps - k : kStripSteps;
    for (int64_t row = 0; row < rows; row += kStripRows) {
      const int64_t strip = rows - row < kStripRows ? rows - row : kStripRows;
      Left left{a.data + row * a.row + k * a.step, a.row, 1};
      if (a.step != 1) {
        turn_strip(strip, some_steps, Left{left.data, a.row, a.step}, turned, kStripSteps);
        left = {turned, kStripSteps, 1};
      }
      shape_for(strip);
      const bool two_rows = strip > kTileRows;
      for (int64_t panel = 0; panel < panels; panel += 2) {
        const Right right{b.data + panel * b.panel + k * b.step, b.panel, b.step};
        const Product part{c.data + row * c.row + panel * kLanes, c.row};
        const bool two_panels = panel + 1 < panels, go_on = add || k > 0;
        if (two_rows && two_panels)
          tile_strip<true, true>(strip, some_steps, left, right, part, go_on);
        else if (two_rows)
          tile_strip<true, false>(strip, some_steps, left, right, part, go_on);
        else if (two_panels)
          tile_strip<false, true>(strip, some_steps, left, right, part, go_on);
        else
          tile_strip<false, false>(strip, some_steps, left, right, part, go_on);
      }
    }
  }
}

}  // namespace uvic::model::UVIC_ISA
