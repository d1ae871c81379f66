// The tile registers of AMX: matrices of 16 rows of 16 words. Included by isa_amx_*.cpp only. With
// UVIC_AMX_EMULATED the same operations run in plain code, so that their users can be tested on any
// CPU with AVX-512 BF16.
//
// A word holds two bf16 (left and right factors) or one float32 (sums). Source: Intel 64 and IA-32
// Architectures Software Developer's Manual, chapter 18 of volume 1; TDPBF16PS in volume 2.
#pragma once

#include <stdint.h>

#include "model/kernels/cpu/simd.h"

namespace uvic::model::UVIC_ISA {

constexpr int kTileRows = 16, kTileWords = 16, kTiles = 8;

/// The operand of LDTILECFG: rows, and bytes per row, of each tile. The rest of a register is not
/// used.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

#if defined(UVIC_AMX_EMULATED)

struct EmulatedTile {
  uint32_t words[kTileRows][kTileWords];
  int rows, row_words;
};
static thread_local EmulatedTile t_tiles[kTiles];

UVIC_INLINE void tile_shapes(const TileShapes& shapes) {
  for (int i = 0; i < kTiles; ++i) {
    t_tiles[i] = {};
    t_tiles[i].rows = shapes.rows[i];
    t_tiles[i].row_words = shapes.row_bytes[i] / 4;
  }
}
UVIC_INLINE void tile_release() {
  for (auto& tile : t_tiles) tile = {};
}
UVIC_INLINE void tile_load(int tile, const float* from, int64_t stride) {
  auto& t = t_tiles[tile];
  for (int r = 0; r < kTileRows; ++r)
    for (int w = 0; w < kTileWords; ++w)
      t.words[r][w] = r < t.rows && w < t.row_words
                          ? reinterpret_cast<const WordMem*>(from + r * stride)[w]
                          : 0;
}
UVIC_INLINE void tile_store(int tile, float* to, int64_t stride) {
  const auto& t = t_tiles[tile];
  for (int r = 0; r < t.rows; ++r)
    for (int w = 0; w < t.row_words; ++w)
      reinterpret_cast<WordMem*>(to + r * stride)[w] = t.words[r][w];
}
UVIC_INLINE void tile_zero(int tile) {
  for (auto& row : t_tiles[tile].words)
    for (auto& word : row) word = 0;
}
UVIC_INLINE float float_of(uint32_t bits_of_it) {
  float x;
  __builtin_memcpy(&x, &bits_of_it, sizeof(x));
  return x;
}
/// sum += left right. The even and the odd elements are summed separately, then added to each
/// other, then to sum.
UVIC_INLINE void tile_multiply_add(int sum, int left, int right) {
  auto& c = t_tiles[sum];
  const auto &a = t_tiles[left], &b = t_tiles[right];
  for (int m = 0; m < c.rows; ++m) {
    float even[kTileWords] = {}, odd[kTileWords] = {};
    for (int k = 0; k < a.row_words && k < b.rows; ++k) {
      const float a0 = float_of(a.words[m][k] << 16), a1 = float_of(a.words[m][k] & 0xffff0000u);
      for (int n = 0; n < kTileWords; ++n) {
        even[n] += a0 * float_of(b.words[k][n] << 16);
        odd[n] += a1 * float_of(b.words[k][n] & 0xffff0000u);
      }
    }
    for (int n = 0; n < c.row_words; ++n) {
      const float total = float_of(c.words[m][n]) + (even[n] + odd[n]);
      __builtin_memcpy(&c.words[m][n], &total, sizeof(total));
    }
  }
}
#define UVIC_TILE_LOAD(tile, from, stride) tile_load(tile, from, stride)
#define UVIC_TILE_STORE(tile, to, stride) tile_store(tile, to, stride)
#define UVIC_TILE_ZERO(tile) tile_zero(tile)
#define UVIC_TILE_MULTIPLY_ADD(sum, left, right) tile_multiply_add(sum, left, right)

#else

// The compiler does not model these registers. "memory" keeps loads and stores in order.
UVIC_INLINE void tile_shapes(const TileShapes& shapes) {
  __asm__ volatile("ldtilecfg %0" : : "m"(shapes) : "memory");
}
UVIC_INLINE void tile_release() { __asm__ volatile("tilerelease" : : : "memory"); }
#define UVIC_TILE_LOAD(tile, from, stride)               \
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile    \
                   :                                     \
                   : "r"(from), "r"((stride)*int64_t{4}) \
                   : "memory")
#define UVIC_TILE_STORE(tile, to, stride)                 \
  __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" \
                   :                                      \
                   : "r"(to), "r"((stride)*int64_t{4})    \
                   : "memory")
#define UVIC_TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile : : : "memory")
#define UVIC_TILE_MULTIPLY_ADD(sum, left, right) \
  __asm__ volatile("tdpbf16ps %%tmm" #right ", %%tmm" #left ", %%tmm" #sum : : : "memory")

#endif

}  // namespace uvic::model::UVIC_ISA
