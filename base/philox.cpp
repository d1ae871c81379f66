// Compiled without fused multiply-add, so that every instruction set gives the same bits.
#include "base/philox.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace uvic::base {
namespace {

constexpr uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr int kRounds = 10;
constexpr int kLanes = 64;  // blocks per pass, so that the inner loops vectorise

/// log(x) for x in (0, 1]. Polynomial of Cephes' logf: relative error below 1e-7.
inline float log_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  // x = m 2^e with m in [sqrt(1/2), sqrt(2))
  const uint32_t shifted = bits - 0x3f3504f3u;
  const auto e = static_cast<float>(static_cast<int32_t>(shifted) >> 23);
  const uint32_t mantissa = (shifted & 0x007fffffu) + 0x3f3504f3u;
  float m;
  std::memcpy(&m, &mantissa, sizeof m);
  const float y = m - 1, z = y * y;
  float p = 7.0376836292e-2f;
  p = p * y - 1.1514610310e-1f;
  p = p * y + 1.1676998740e-1f;
  p = p * y - 1.2420140846e-1f;
  p = p * y + 1.4249322787e-1f;
  p = p * y - 1.6668057665e-1f;
  p = p * y + 2.0000714765e-1f;
  p = p * y - 2.4999993993e-1f;
  p = p * y + 3.3333331174e-1f;
  return (p * y * z + e * -2.12194440e-4f) - 0.5f * z + y + e * 0.693359375f;
}

/// cos and sin of 2 pi turns / 2^32; Cephes' sinf and cosf on [-pi/4, pi/4].
inline void cos_sin(uint32_t turns, float* cosine, float* sine) {
  const uint32_t quadrant = (turns + 0x20000000u) >> 30;
  const auto rest = static_cast<int32_t>(turns - (quadrant << 30));    // [-2^29, 2^29)
  const float x = static_cast<float>(rest) * 1.46291807926715968e-9f;  // 2 pi / 2^32
  const float z = x * x;
  const float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * x + x;
  const float c =
      ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z -
      0.5f * z + 1.0f;
  const float a = (quadrant & 1) ? s : c, b = (quadrant & 1) ? c : s;
  *cosine = (quadrant == 1 || quadrant == 2) ? -a : a;
  *sine = (quadrant & 2) ? -b : b;
}

/// Two normals of two words: radius from 31 bits of the first, angle from the second.
inline void box_muller(uint32_t first, uint32_t second, float* a, float* b) {
  const float u = (static_cast<float>(static_cast<int32_t>(first >> 1)) + 0.5f) * 0x1p-31f;
  const float radius = std::sqrt(-2.0f * log_of(u));
  float c, s;
  cos_sin(second, &c, &s);
  *a = radius * c;
  *b = radius * s;
}

struct Words {
  uint32_t w[4][kLanes];
};

/// Blocks first .. first + kLanes - 1.
void blocks(uint64_t key, uint32_t use, uint64_t position, uint32_t first, Words& out) {
  const auto low = static_cast<uint32_t>(position), high = static_cast<uint32_t>(position >> 32);
  for (int i = 0; i < kLanes; ++i) {
    out.w[0][i] = first + static_cast<uint32_t>(i);
    out.w[1][i] = use;
    out.w[2][i] = low;
    out.w[3][i] = high;
  }
  auto key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < kRounds; ++round, key0 += kWeyl0, key1 += kWeyl1)
    for (int i = 0; i < kLanes; ++i) {
      const uint64_t p0 = static_cast<uint64_t>(kMultiplier0) * out.w[0][i],
                     p1 = static_cast<uint64_t>(kMultiplier1) * out.w[2][i];
      const uint32_t w1 = out.w[1][i], w3 = out.w[3][i];
      out.w[0][i] = static_cast<uint32_t>(p1 >> 32) ^ w1 ^ key0;
      out.w[1][i] = static_cast<uint32_t>(p1);
      out.w[2][i] = static_cast<uint32_t>(p0 >> 32) ^ w3 ^ key1;
      out.w[3][i] = static_cast<uint32_t>(p0);
    }
}

}  // namespace

PhiloxBlock philox4x32(PhiloxBlock counter, uint64_t key) {
  auto key0 = static_cast<uint32_t>(key), key1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < kRounds; ++round, key0 += kWeyl0, key1 += kWeyl1) {
    const uint64_t p0 = static_cast<uint64_t>(kMultiplier0) * counter.word[0],
                   p1 = static_cast<uint64_t>(kMultiplier1) * counter.word[2];
    counter = {{static_cast<uint32_t>(p1 >> 32) ^ counter.word[1] ^ key0,
                static_cast<uint32_t>(p1),
                static_cast<uint32_t>(p0 >> 32) ^ counter.word[3] ^ key1,
                static_cast<uint32_t>(p0)}};
  }
  return counter;
}

void philox_normals(uint64_t key, uint32_t use, uint64_t position, int64_t count, float* out) {
  const int64_t n = (count + 3) / 4;
  Words words;
  float normals[4][kLanes];
  for (int64_t first = 0; first < n; first += kLanes) {
    blocks(key, use, position, static_cast<uint32_t>(first), words);
    for (int i = 0; i < kLanes; ++i)
      box_muller(words.w[0][i], words.w[1][i], &normals[0][i], &normals[1][i]);
    for (int i = 0; i < kLanes; ++i)
      box_muller(words.w[2][i], words.w[3][i], &normals[2][i], &normals[3][i]);
    const int64_t here = std::min<int64_t>(kLanes, n - first);
    for (int64_t quarter = 0; quarter < 4; ++quarter) {
      const int64_t begin = quarter * n + first, wanted = std::min(here, count - begin);
      if (wanted > 0) std::copy_n(normals[quarter], wanted, out + begin);
    }
  }
}

}  // namespace uvic::base
