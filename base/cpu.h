// What this CPU and its operating system support. Features that the compiler has no name for are
// read from the operating system.
#pragma once

namespace uvic::base {

bool cpu_has_pclmul();       ///< products without carry, of 64 bits
bool cpu_has_avx2();         ///< with fused multiply-add
bool cpu_has_avx512();       ///< F, BW, VL and DQ
bool cpu_has_avx512_bf16();  ///< the above and BF16
bool cpu_has_amx_bf16();     ///< bf16 products on the tile registers

/// Whether products in bf16 are faster than in float32.
inline bool cpu_multiplies_bf16() { return cpu_has_avx512_bf16() || cpu_has_amx_bf16(); }

}  // namespace uvic::base
