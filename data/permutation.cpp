#include "data/permutation.h"

#include <fmt/format.h>

#include <stdexcept>
#include <utility>

#include "base/hash.h"

namespace uvic::data {

namespace {
constexpr int kRounds = 8;  // even: halves of unequal width are back in their places
constexpr uint64_t low_bits(int count) { return (uint64_t{1} << count) - 1; }
}  // namespace

Permutation::Permutation(int64_t n, uint64_t key)
    : n_(static_cast<uint64_t>(n)), key_(key), bits_(2) {
  if (n < 1 || n > (int64_t{1} << 62))
    throw std::invalid_argument(fmt::format("permutation: {} elements, want 1 to 2^62", n));
  while ((uint64_t{1} << bits_) < n_) ++bits_;
}

int64_t Permutation::operator()(int64_t position) const {
  auto x = static_cast<uint64_t>(position);
  do {
    int left_bits = bits_ / 2, right_bits = bits_ - left_bits;
    uint64_t left = x >> right_bits, right = x & low_bits(right_bits);
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (base::hash2(key_ + round, right) & low_bits(left_bits));
      left = right, right = mixed;
      std::swap(left_bits, right_bits);
    }
    x = (left << right_bits) | right;
  } while (x >= n_);
  return static_cast<int64_t>(x);
}

}  // namespace uvic::data
