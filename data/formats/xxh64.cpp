#include "data/formats/xxh64.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "data/formats/little_endian.h"

namespace uvic::formats {
namespace {

constexpr uint64_t kPrime1 = 0x9e3779b185ebca87, kPrime2 = 0xc2b2ae3d27d4eb4f,
                   kPrime3 = 0x165667b19e3779f9, kPrime4 = 0x85ebca77c2b2ae63,
                   kPrime5 = 0x27d4eb2f165667c5;
constexpr size_t kStripe = 32;

uint64_t rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

uint64_t round(uint64_t lane, uint64_t word) { return rotate(lane + word * kPrime2, 31) * kPrime1; }

uint64_t merge(uint64_t hash, uint64_t lane) { return (hash ^ round(0, lane)) * kPrime1 + kPrime4; }

}  // namespace

void Xxh64::take_blocks(const uint8_t* bytes, size_t blocks) {
  auto [a, b, c, d] = lanes_;
  for (; blocks > 0; --blocks, bytes += kStripe) {
    a = round(a, load_little_endian<uint64_t>(bytes));
    b = round(b, load_little_endian<uint64_t>(bytes + 8));
    c = round(c, load_little_endian<uint64_t>(bytes + 16));
    d = round(d, load_little_endian<uint64_t>(bytes + 24));
  }
  lanes_ = {a, b, c, d};
}

void Xxh64::update(const void* bytes, size_t size_bytes) {
  if (size_bytes == 0) return;  // of which there may be no address
  const auto* next = static_cast<const uint8_t*>(bytes);
  const size_t filled = size_bytes_ % kStripe;
  size_bytes_ += size_bytes;
  if (filled > 0) {
    const size_t taken = std::min(size_bytes, kStripe - filled);
    std::memcpy(pending_.data() + filled, next, taken);
    next += taken, size_bytes -= taken;
    if (filled + taken < kStripe) return;
    take_blocks(pending_.data(), 1);
  }
  take_blocks(next, size_bytes / kStripe);
  if (const size_t rest = size_bytes % kStripe)
    std::memcpy(pending_.data(), next + size_bytes - rest, rest);
}

std::string Xxh64::hex() const {
  uint64_t hash = kPrime5;
  if (size_bytes_ >= kStripe) {
    const auto [a, b, c, d] = lanes_;
    hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    for (const uint64_t lane : lanes_) hash = merge(hash, lane);
  }
  hash += size_bytes_;
  const uint8_t* next = pending_.data();
  size_t left = size_bytes_ % kStripe;
  for (; left >= 8; left -= 8, next += 8)
    hash = rotate(hash ^ round(0, load_little_endian<uint64_t>(next)), 27) * kPrime1 + kPrime4;
  if (left >= 4) {
    hash = rotate(hash ^ load_little_endian<uint32_t>(next) * kPrime1, 23) * kPrime2 + kPrime3;
    left -= 4, next += 4;
  }
  for (; left > 0; --left, ++next) hash = rotate(hash ^ *next * kPrime5, 11) * kPrime1;
  hash = (hash ^ hash >> 33) * kPrime2;
  hash = (hash ^ hash >> 29) * kPrime3;
  return fmt::format("{:016x}", hash ^ hash >> 32);
}

}  // namespace uvic::formats
