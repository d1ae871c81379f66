// The emulation of cuda_block.cuh without a GPU, for tests. It runs one block after the other, with
// each thread as a fiber.
//
// An asynchronous copy is done as late as allowed, at the wait for its group. Before that, its
// destination contains NaN. Every word of shared memory records its readers and writers since the
// last barriers, so a missing barrier is an error in every order of execution.
#pragma once

#include <stdint.h>
#include <string.h>

#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>

#define UVIC_DEVICE inline
#define UVIC_KERNEL(threads, blocks) inline void
#define UVIC_UNROLL
#define UVIC_UNROLL_TWICE

namespace uvic::model::cuda {

/// The order in which the threads of a block run between two barriers.
enum class ThreadOrder { forward, reverse, interleaved };

/// Counts of the emulation since reset().
struct EmulationReport {
  int64_t multiply_adds = 0;      ///< warp-wide m16n8k16 products
  int64_t matrix_loads = 0;       ///< warp-wide loads of four 8 x 8 matrices
  int64_t conflicting_loads = 0;  ///< of those, with two rows of a matrix in the same banks
  int64_t copies = 0;             ///< of 16 bytes from device memory, those of zeros not counted
  int64_t blocks = 0;
  int64_t largest_shared_bytes = 0;  ///< highest byte of shared memory used
};

void set_thread_order(ThreadOrder order, uint64_t seed = 0);
EmulationReport emulation_report();
void reset_emulation_report();

/// Thrown for an error that a GPU does not report.
struct EmulationError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

int thread_index();
BlockIndex block_index();
void sync_threads();
void sync_warp();
float shuffle_xor(float x, int mask);
void copy_async(uint32_t at, const void* global, bool wanted);
void commit_copies();
void wait_copies_until(int groups);
void load_matrices(uint32_t (&r)[4], uint32_t at);
void load_matrices_transposed(uint32_t (&r)[4], uint32_t at);
void multiply_add_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
void multiply_add_fp16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
void read_shared(uint32_t at, void* to, uint32_t bytes);
void write_shared(uint32_t at, const void* from, uint32_t bytes);
void run_grid(const std::function<void()>& kernel, Grid grid, int threads, int shared);

template <int kGroups>
inline void wait_copies() {
  wait_copies_until(kGroups);
}

template <class T>
inline T shared_load(uint32_t at) {
  T x;
  read_shared(at, &x, sizeof x);
  return x;
}
template <class T>
inline void shared_store(uint32_t at, T x) {
  write_shared(at, &x, sizeof x);
}

inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

struct Bf16 {
  static uint32_t round(float x) {  // to nearest, ties to even
    const uint32_t bits = bits_of(x);
    if (x != x) return 0x7fff;
    return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  }
  static uint32_t pack(float low, float high) { return round(low) | round(high) << 16; }
  static float low(uint32_t word) { return float_of(word << 16); }
  static float high(uint32_t word) { return float_of(word & 0xffff0000u); }
};

struct Fp16 {
  static uint32_t round(float x) {
    const _Float16 half = static_cast<_Float16>(x);
    uint16_t bits;
    memcpy(&bits, &half, sizeof bits);
    return bits;
  }
  static float widen(uint32_t bits) {
    const auto narrow = static_cast<uint16_t>(bits);
    _Float16 half;
    memcpy(&half, &narrow, sizeof half);
    return static_cast<float>(half);
  }
  static uint32_t pack(float low, float high) { return round(low) | round(high) << 16; }
  static float low(uint32_t word) { return widen(word & 0xffffu); }
  static float high(uint32_t word) { return widen(word >> 16); }
};

template <class T>
inline void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
template <>
inline void multiply_add<Bf16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  multiply_add_bf16(c, a, b0, b1);
}
template <>
inline void multiply_add<Fp16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  multiply_add_fp16(c, a, b0, b1);
}

#define UVIC_HOPPER_CODE 1

inline void group_fence() {}
inline void group_commit() {}
inline void group_wait() {}
inline void publish_shared() {}

/// Where byte `at` of rows of 128 bytes is in the 128-byte swizzle.
inline uint32_t swizzled(uint32_t at) { return at ^ (at >> 7 & 7u) << 4; }

/// The rows of a warp in a product of a warpgroup: chunk by chunk of eight columns.
template <class T, bool kTransposed, int kChunks>
void group_multiply_add(float (&c)[kChunks][4], const uint32_t (&a)[4], uint32_t b, bool add) {
  const auto lane = static_cast<uint32_t>(thread_index() % 32), g = lane / 4, t = lane % 4 * 2;
  for (uint32_t j = 0; j < kChunks; ++j) {
    uint32_t words[2];
    for (uint32_t half = 0; half < 2; ++half) {
      const uint32_t inner = t + 8 * half, column = 8 * j + g;
      if (kTransposed) {
        const auto element = [&](uint32_t row) {
          const uint32_t at = b + row * 128 + column * 2;
          return shared_load<uint32_t>(swizzled(at & ~3u)) >> 8 * (at % 4) & 0xffffu;
        };
        words[half] = element(inner) | element(inner + 1) << 16;
      } else {
        words[half] = shared_load<uint32_t>(swizzled(b + column * 128 + inner * 2));
      }
    }
    if (!add) c[j][0] = c[j][1] = c[j][2] = c[j][3] = 0;
    multiply_add<T>(c[j], a, words[0], words[1]);
  }
}
template <int kChunks>
void settle(float (&)[kChunks][4]) {}

inline uint32_t packed_signs(float low, float high) {
  return (bits_of(low) >> 16 & 0x8000u) | (bits_of(high) & 0x80000000u);
}
inline float with_sign_of(float x, float sign) {
  return float_of(bits_of(x) ^ (bits_of(sign) & 0x80000000u));
}

inline float exp2_fast(float x) {
  const float y = std::exp2(x);
  return y < 1.17549435e-38f ? 0.f : y;  // NaN stays
}
inline float log2_fast(float x) { return std::log2(x); }
inline float multiply_plus(float a, float b, float c) { return std::fma(a, b, c); }
inline float root(float x) { return std::sqrt(x); }
inline float normal_cdf(float x) { return 0.5f * std::erf(x * 0.70710678f) + 0.5f; }

/// Tests ask for them (choose_kernels() in attention_cuda.h).
inline bool has_warpgroups() { return false; }

template <class Argument>
void launch(void (*kernel)(Argument),
            Grid grid,
            int threads,
            int shared,
            void* /*stream*/,
            const Argument& argument) {
  run_grid([&] { kernel(argument); }, grid, threads, shared);
}

}  // namespace uvic::model::cuda
