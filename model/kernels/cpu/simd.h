// Vectors of float32 as wide as the instruction set that the including file is built for. Included
// by isa_*.cpp alone, each of which defines UVIC_ISA, the namespace that keeps its copy apart from
// the others'.
//
// GCC's vector types have + - * / & | ^ << >> and comparisons. This file adds the other operations.
#pragma once

#include <stdint.h>
#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#ifndef UVIC_ISA
#error "simd.h is for the isa_*.cpp files, which define UVIC_ISA"
#endif

#define UVIC_INLINE static inline __attribute__((always_inline))

namespace uvic::model::UVIC_ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kRegisters = 32;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kRegisters = 16;
#else
constexpr int kLanes = 4;
constexpr int kRegisters = 16;
#endif

typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef int32_t IVec __attribute__((vector_size(4 * kLanes)));
typedef uint32_t UVec __attribute__((vector_size(4 * kLanes)));
typedef uint16_t HVec __attribute__((vector_size(2 * kLanes)));
// Vectors in memory: any alignment, and they may alias any other type.
typedef float VecMem __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef uint16_t HVecMem __attribute__((vector_size(2 * kLanes), aligned(2), may_alias));
typedef uint32_t WordMem __attribute__((aligned(2), may_alias));

UVIC_INLINE Vec load(const float* p) { return *reinterpret_cast<const VecMem*>(p); }
UVIC_INLINE void store(float* p, Vec x) { *reinterpret_cast<VecMem*>(p) = x; }
UVIC_INLINE Vec splat(float x) { return x - Vec{}; }

UVIC_INLINE UVec bits(Vec x) { return (UVec)x; }
UVIC_INLINE Vec from_bits(UVec x) { return (Vec)x; }
UVIC_INLINE UVec splat_bits(uint32_t x) { return x - UVec{}; }

/// max(a, b), and b where either is NaN.
UVIC_INLINE Vec max(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}

/// min(a, b), and b where either is NaN.
UVIC_INLINE Vec min(Vec a, Vec b) {
#if defined(__AVX512F__)
  return (Vec)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (Vec)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return a < b ? a : b;
#endif
}

UVIC_INLINE Vec abs(Vec x) { return from_bits(bits(x) & 0x7fffffffu); }
UVIC_INLINE UVec sign_bit(Vec x) { return bits(x) & 0x80000000u; }

// Which lanes: a mask register, or all bits of a lane.
#if defined(__AVX512F__)
typedef __mmask16 Mask;
UVIC_INLINE Mask all_lanes() { return 0xffff; }
/// Lanes 0 to n - 1, n <= kLanes.
UVIC_INLINE Mask first_lanes(int64_t n) { return static_cast<Mask>((1u << n) - 1); }
/// Where x is not 0, NaN included.
UVIC_INLINE Mask nonzero(Vec x) {
  return _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_NEQ_UQ);
}
UVIC_INLINE Mask negative(Vec x) {
  return _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_LT_OQ);
}
UVIC_INLINE Vec choose(Mask which, Vec yes, Vec no) {
  return (Vec)_mm512_mask_blend_ps(which, (__m512)no, (__m512)yes);
}
UVIC_INLINE Vec zero_unless(Mask which, Vec x) {
  return (Vec)_mm512_maskz_mov_ps(which, (__m512)x);
}
#else
typedef IVec Mask;
UVIC_INLINE Mask all_lanes() { return ~IVec{}; }
UVIC_INLINE Mask first_lanes(int64_t n) {
  IVec lanes;
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  return lanes < (static_cast<int32_t>(n) - IVec{});
}
UVIC_INLINE Mask nonzero(Vec x) { return (IVec)(x != Vec{}); }
UVIC_INLINE Mask negative(Vec x) { return (IVec)(x < Vec{}); }
UVIC_INLINE Vec choose(Mask which, Vec yes, Vec no) { return which ? yes : no; }
UVIC_INLINE Vec zero_unless(Mask which, Vec x) { return from_bits(bits(x) & (UVec)which); }
#endif

/// The correctly rounded square root of each lane.
UVIC_INLINE Vec square_root(Vec x) {
#if defined(__AVX512F__)
  return (Vec)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
  return (Vec)_mm256_sqrt_ps((__m256)x);
#else
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

UVIC_INLINE float sum_of_lanes(Vec x) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)x);
#else
  float lanes[kLanes];
  store(lanes, x);
  for (int width = kLanes / 2; width; width /= 2)
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  return lanes[0];
#endif
}
UVIC_INLINE float max_of_lanes(Vec x) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps((__m512)x);
#else
  float lanes[kLanes];
  store(lanes, x);
  for (int width = kLanes / 2; width; width /= 2)
    for (int i = 0; i < width; ++i)
      lanes[i] = lanes[i] > lanes[i + width] ? lanes[i] : lanes[i + width];
  return lanes[0];
#endif
}

/// 2^x to 1.2e-7 (relative) for x from -126 to 127; below, 2^-126 or less; NaN for NaN.
///
/// x = n + f with an integer n. 2^f is a polynomial of degree 6, exact at 0, with the smallest
/// relative error (2e-9) over the range of f.
UVIC_INLINE Vec exp2(Vec x) {
#if defined(__AVX512F__)
  constexpr int kLessItsFloor = 1;
  const Vec f = (Vec)_mm512_reduce_ps((__m512)x, kLessItsFloor);  // in [0, 1)
  Vec y = f * 0.000216129221f + 0.00124678446f;
  y = y * f + 0.00967545155f;
  y = y * f + 0.0554852821f;
  y = y * f + 0.240229309f;
  y = y * f + 0.693147063f;
  y = y * f + 1.f;
  return (Vec)_mm512_scalef_ps((__m512)y, (__m512)x);  // y 2^floor(x)
#else
  x = max(splat(-126.f), x);
  const Vec magic =
      splat(12582912.f);  // 1.5 * 2^23: its addition rounds to an integer, in the low bits
  const Vec shifted = x + magic;
  const Vec f = x - (shifted - magic);  // in [-1/2, 1/2]
  Vec y = f * 0.000153533620f + 0.00133988750f;
  y = y * f + 0.00961843692f;
  y = y * f + 0.0555033237f;
  y = y * f + 0.240226477f;
  y = y * f + 0.693147182f;
  y = y * f + 1.f;
  return from_bits(bits(y) + (bits(shifted) << 23));
#endif
}

UVIC_INLINE Vec widen(HVec x) { return from_bits(__builtin_convertvector(x, UVec) << 16); }

/// The nearest bf16, ties to even; NaN for NaN.
UVIC_INLINE HVec narrow(Vec x) {
#if defined(__AVX512BF16__)
  return (HVec)_mm512_cvtneps_pbh((__m512)x);
#else
  const UVec u = bits(x);
  const UVec rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const UVec nan = (u >> 16) | 0x40u;
  return __builtin_convertvector((x == x) ? rounded : nan, HVec);
#endif
}

// Elements in memory, float32 or bf16, as float32 vectors.
UVIC_INLINE Vec load_as_float(const float* p) { return load(p); }
UVIC_INLINE Vec load_as_float(const uint16_t* p) {
  return widen(*reinterpret_cast<const HVecMem*>(p));
}
UVIC_INLINE void store_float(float* p, Vec x) { store(p, x); }
UVIC_INLINE void store_float(uint16_t* p, Vec x) { *reinterpret_cast<HVecMem*>(p) = narrow(x); }

/// The first n of kLanes elements, 0 in the other lanes. No memory beyond them is read.
UVIC_INLINE Vec load_as_float(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return (Vec)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
#else
  float copy[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) copy[i] = p[i];
  return load(copy);
#endif
}
UVIC_INLINE Vec load_as_float(const uint16_t* p, int64_t n) {
#if defined(__AVX512F__)
  return widen((HVec)_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << n) - 1), p));
#else
  uint16_t copy[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) copy[i] = p[i];
  return load_as_float(copy);
#endif
}
template <class T>
UVIC_INLINE void store_float(T* p, Vec x, int64_t n) {
  T copy[kLanes];
  store_float(copy, x);
  for (int64_t i = 0; i < n; ++i) p[i] = copy[i];
}

/// The first n lanes, 0 in the others where n < kLanes.
template <class T>
UVIC_INLINE Vec load_lanes(const T* p, int64_t n) {
  return n == kLanes ? load_as_float(p) : load_as_float(p, n);
}
template <class T>
UVIC_INLINE void store_lanes(T* p, Vec x, int64_t n) {
  n == kLanes ? store_float(p, x) : store_float(p, x, n);
}

/// Calls f(offset, lanes) for each vector of a row of n elements. lanes < kLanes in the last one if
/// n is not a multiple of kLanes.
template <class F>
UVIC_INLINE void for_each_vector(int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) f(i, int64_t{kLanes});
  if (i < n) f(i, n - i);
}

}  // namespace uvic::model::UVIC_ISA
