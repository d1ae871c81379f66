// A shuffled order of 0 .. n - 1 that is computed, not stored: any element at any time, in constant
// memory.
#pragma once

#include <cstdint>

namespace uvic::data {

/// A keyed bijection of 0 .. n - 1: a Feistel network on the next power of two, walked until it
/// lands inside.
///
/// With L and R the two halves of an index's bits, each round maps (L, R) to (R, L xor F(key,
/// round, R)). At most half of the domain lies outside, so the walk takes under two steps on
/// average. Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains".
class Permutation {
 public:
  /// Throws std::invalid_argument unless 1 <= n <= 2^62.
  Permutation(int64_t n, uint64_t key);
  int64_t operator()(int64_t position) const;  ///< position in 0 .. n - 1

 private:
  uint64_t n_, key_;
  int bits_;
};

}  // namespace uvic::data
