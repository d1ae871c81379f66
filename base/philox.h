// The counter-based generator of PositionRandom, in plain loops that compilers vectorise.
#pragma once

#include <cstdint>

namespace uvic::base {

struct PhiloxBlock {
  uint32_t word[4];
};

/// Ten rounds of Philox4x32: for each 64-bit key, a bijection of the 128 bits of `counter`.
PhiloxBlock philox4x32(PhiloxBlock counter, uint64_t key);

/// Numbers 0 .. count - 1 of the stream (key, use, position), distributed as N(0, 1).
///
/// With n = ceil(count / 4), block i of the generator gives numbers i, n + i, 2 n + i and 3 n + i:
/// the first two from its words 0 and 1, the last two from its words 2 and 3.
void philox_normals(uint64_t key, uint32_t use, uint64_t position, int64_t count, float* out);

}  // namespace uvic::base
