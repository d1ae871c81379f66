// Multiply-adds on registers only, to measure the peak rate of this CPU. Included by isa_*.cpp
// only.
#pragma once

#include "model/kernels/cpu/kernel_table.h"
#include "model/kernels/cpu/small_products.h"

namespace uvic::model::UVIC_ISA {

// Makes the value of a register unknown to the compiler.
#if defined(__AVX512F__)
#define UVIC_UNKNOWN(x) __asm__ volatile("" : "+v"(x))
#elif defined(__x86_64__)
#define UVIC_UNKNOWN(x) __asm__ volatile("" : "+x"(x))
#else
#define UVIC_UNKNOWN(x) __asm__ volatile("" : "+w"(x))
#endif

/// `rounds` passes over 20 independent sums of kLanes words each. Returns the number of
/// multiplications and additions.
template <class Words>
double multiply_add_rounds(int64_t rounds) {
  constexpr int kSums = kRegisters == 32 ? 20 : 10;
  Vec sums[kSums] = {}, a = from_bits(splat_bits(0x3f803f80u)), b = a;
  for (auto& sum : sums) UVIC_UNKNOWN(sum);  // otherwise the compiler finds that all are equal
  for (int64_t i = 0; i < rounds; ++i) {
    UVIC_UNKNOWN(a);
    UVIC_UNKNOWN(b);
#pragma GCC unroll 20
    for (int j = 0; j < kSums; ++j)
      if constexpr (Words::kPerWord == 2)
        sums[j] = Words::multiply_add(a, b, sums[j]);
      else
        sums[j] = Words::multiply_add(sums[j], a, b);  // a * b would be the same for all
  }
  for (int j = 1; j < kSums; ++j) sums[0] += sums[j];
  __asm__ volatile("" : : "m"(sums[0]));
  return 2.0 * static_cast<double>(rounds) * kSums * kLanes * Words::kPerWord;
}

#if defined(UVIC_AMX)
/// The same on tiles: four independent sums.
UVIC_INLINE double tile_rounds(int64_t rounds) {
  const MultiplierUse use;
  shape_for(kStripRows);
#if defined(UVIC_AMX_EMULATED)
  rounds = rounds / 10000 + 1;
#endif
  UVIC_TILE_ZERO(0);
  UVIC_TILE_ZERO(1);
  UVIC_TILE_ZERO(2);
  UVIC_TILE_ZERO(3);
  UVIC_TILE_ZERO(4);
  UVIC_TILE_ZERO(5);
  UVIC_TILE_ZERO(6);
  UVIC_TILE_ZERO(7);
  for (int64_t i = 0; i < rounds; ++i) {
    UVIC_TILE_MULTIPLY_ADD(0, 4, 6);
    UVIC_TILE_MULTIPLY_ADD(1, 4, 7);
    UVIC_TILE_MULTIPLY_ADD(2, 5, 6);
    UVIC_TILE_MULTIPLY_ADD(3, 5, 7);
  }
  return 2.0 * 4 * static_cast<double>(rounds) * kTileRows * kTileWords * kTileWords * 2;
}
#endif

double multiply_adds(ElementType type, int64_t rounds) {
#if defined(UVIC_AMX)
  if (type == ElementType::bf16) return tile_rounds(rounds);
#endif
  return type == ElementType::bf16 ? multiply_add_rounds<Bf16Words>(rounds)
                                   : multiply_add_rounds<SingleWords>(rounds);
}

}  // namespace uvic::model::UVIC_ISA
