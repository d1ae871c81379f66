#include "data/formats/crc32.h"

#include <array>
#include <cstddef>

#include "base/cpu.h"
#include "data/formats/little_endian.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace uvic::formats {
namespace {

// table[k][b]: the checksum of byte b followed by k zeros, so that eight bytes are taken at once.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
    tables[0][byte] = crc;
  }
  for (size_t zeros = 1; zeros < 8; ++zeros) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t crc = tables[zeros - 1][byte];
      tables[zeros][byte] = crc >> 8 ^ tables[0][crc & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

/// The register of the checksum (its complement) after `bytes`.
uint32_t take_bytes(uint32_t crc, const char* next, size_t left) {
  for (; left >= 8; left -= 8, next += 8) {
    const uint64_t word = load_little_endian<uint64_t>(next) ^ crc;
    crc = 0;
    for (int i = 0; i < 8; ++i) crc ^= kTables[7 - i][word >> (8 * i) & 0xff];
  }
  for (; left > 0; --left, ++next)
    crc = crc >> 8 ^ kTables[0][(crc ^ static_cast<uint8_t>(*next)) & 0xff];
  return crc;
}

#if defined(__x86_64__)

constexpr size_t kBlock = 64;

/// The remainder of x^e by the polynomial, its bits in reversed order and shifted by one, as the
/// product without carries of reversed numbers wants it.
constexpr int64_t power(int e) {
  uint32_t r = 0x80000000u;  // 1
  for (int i = 0; i < e; ++i) r = r >> 1 ^ (r & 1 ? 0xedb88320u : 0u);
  return static_cast<int64_t>(r) << 1;
}

// Two words of a vector that comes `bits` later: x^(bits + 32) and x^(bits - 32).
constexpr int64_t kFar[2] = {power(4 * 128 + 32), power(4 * 128 - 32)};
constexpr int64_t kNear[2] = {power(128 + 32), power(128 - 32)};

__attribute__((target("pclmul,sse2"))) __m128i folded(__m128i x, __m128i by, __m128i next) {
  const auto low = _mm_clmulepi64_si128(x, by, 0x00), high = _mm_clmulepi64_si128(x, by, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/// The same by products without carries, for whole blocks (at least one); Gopal et al. 2009, "Fast
/// CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction". Four vectors are folded
/// over those that follow; what is left are 16 bytes with the same remainder.
__attribute__((target("pclmul,sse2"))) uint32_t take_blocks(uint32_t crc,
                                                            const char* next,
                                                            size_t left) {
  const auto load = [](const char* at) __attribute__((target("sse2"))) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  };
  __m128i x[4];
  for (int i = 0; i < 4; ++i) x[i] = load(next + 16 * i);
  x[0] = _mm_xor_si128(x[0], _mm_cvtsi32_si128(static_cast<int>(crc)));
  const auto far = _mm_set_epi64x(kFar[1], kFar[0]), near = _mm_set_epi64x(kNear[1], kNear[0]);
  for (next += kBlock, left -= kBlock; left >= kBlock; next += kBlock, left -= kBlock)
    for (int i = 0; i < 4; ++i) x[i] = folded(x[i], far, load(next + 16 * i));
  for (int i = 1; i < 4; ++i) x[0] = folded(x[0], near, x[i]);
  alignas(16) char bytes[16];
  _mm_store_si128(reinterpret_cast<__m128i*>(bytes), x[0]);
  return take_bytes(0, bytes, sizeof bytes);
}

const bool has_products = base::cpu_has_pclmul();

#endif

}  // namespace

uint32_t crc32(std::string_view bytes, uint32_t before) {
  uint32_t crc = ~before;
  const char* next = bytes.data();
  size_t left = bytes.size();
#if defined(__x86_64__)
  if (const size_t blocks = left / kBlock * kBlock; blocks >= 4 * kBlock && has_products) {
    crc = take_blocks(crc, next, blocks);
    next += blocks;
    left -= blocks;
  }
#endif
  return ~take_bytes(crc, next, left);
}

}  // namespace uvic::formats
