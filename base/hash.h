// Integer hashing, for the random order of the data, flips and the procedural data set. Equal on
// every machine.
#pragma once

#include <cstdint>

namespace uvic::base {

/// A bijection of 64-bit words that maps similar words to unrelated ones: SplitMix64's finaliser.
/// Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators" (variant 13 of
/// Stafford).
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// A hash of both arguments and their order.
constexpr uint64_t hash2(uint64_t a, uint64_t b) { return mix64(mix64(a) ^ b); }

/// The i-th of `count` indices of 0 .. size - 1: a hashed position in the i-th of `count` equal
/// ranges. All classes are represented, whether the data set is sorted by class or classes
/// alternate. count = size gives all indices.
constexpr int64_t spread_index(int64_t i, int64_t count, int64_t size) {
  const int64_t begin = i * size / count, end = (i + 1) * size / count;
  return begin +
         static_cast<int64_t>(mix64(static_cast<uint64_t>(i)) % static_cast<uint64_t>(end - begin));
}

/// xoroshiro128+: a stream of random words. Different (seed, index) pairs have different states.
/// Source: Blackman and Vigna 2018, arXiv:1805.01407.
class RandomStream {
 public:
  constexpr RandomStream(uint64_t seed, uint64_t index)
      : a_(mix64(seed)), b_(mix64(index ^ a_)) {  // (seed, index) -> (a, b) is one to one
    if ((a_ | b_) == 0) b_ = 1;                   // the zero state gives zeros only
    for (int i = 0; i < 4; ++i) next();
  }

  constexpr uint64_t next() {
    const uint64_t sum = a_ + b_, t = a_ ^ b_;
    a_ = rotate_left(a_, 24) ^ t ^ (t << 16);
    b_ = rotate_left(t, 37);
    return sum;
  }

  /// Uniform in [0, 1): 24 bits, exact in a float.
  constexpr float uniform() { return static_cast<float>(next() >> 40) * 0x1p-24f; }
  constexpr float uniform(float low, float high) { return low + (high - low) * uniform(); }
  /// Uniform in 0 .. n - 1, to within 2^-32 for the small n used here.
  constexpr uint32_t below(uint32_t n) { return static_cast<uint32_t>(((next() >> 32) * n) >> 32); }

 private:
  static constexpr uint64_t rotate_left(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }
  uint64_t a_, b_;
};

}  // namespace uvic::base
