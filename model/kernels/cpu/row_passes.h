// Passes over the rows of an activation: LayerNorm, GELU and narrowing, each with its gradient and
// the sums over rows for biases. Arithmetic is float32 for every stored type. Included by isa_*.cpp
// only.
#pragma once

#include "model/kernels/cpu/kernel_table.h"
#include "model/kernels/cpu/simd.h"

namespace uvic::model::UVIC_ISA {

UVIC_INLINE void zero_floats(float* p, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = 0.f;
}

UVIC_INLINE void add_lanes(float* p, Vec x, int64_t n) { store_lanes(p, load_lanes(p, n) + x, n); }

template <class T>
void norm_rows(const NormCall& call, int64_t begin, int64_t end) {
  const int64_t width = call.width;
  const float inverse_width = 1.f / static_cast<float>(width);
  for (int64_t r = begin; r < end; ++r) {
    const float* x = call.x ? call.x + r * width : nullptr;
    Vec sum = {};
    if (call.delta) {
      const T* delta = static_cast<const T*>(call.delta) + r * width;
      float* to = call.sum + r * width;
      for_each_vector(width, [&](int64_t d, int64_t n) {
        Vec v = load_lanes(delta + d, n);
        if (x) v += load_lanes(x + d, n);
        if (call.bias) v += load_lanes(call.bias + d, n);
        store_lanes(to + d, v, n);
        sum += v;
      });
      x = to;
    } else {
      for_each_vector(width, [&](int64_t d, int64_t n) { sum += load_lanes(x + d, n); });
    }
    if (!call.y) continue;
    const float mean = call.shift ? sum_of_lanes(sum) * inverse_width : 0.f;
    Vec squares = {};
    for_each_vector(width, [&](int64_t d, int64_t n) {
      const Vec v = zero_unless(first_lanes(n), load_lanes(x + d, n) - splat(mean));
      squares += v * v;
    });
    const float inverse =
        1.f / __builtin_sqrtf(sum_of_lanes(squares) * inverse_width + call.epsilon);
    T* y = static_cast<T*>(call.y) + r * width;
    for_each_vector(width, [&](int64_t d, int64_t n) {
      const Vec normal = (load_lanes(x + d, n) - splat(mean)) * splat(inverse);
      Vec v = normal * load_lanes(call.weight + d, n);
      if (call.shift) v += load_lanes(call.shift + d, n);
      store_lanes(y + d, v, n);
    });
    if (call.row_stats) {
      call.row_stats[2 * r] = mean;
      call.row_stats[2 * r + 1] = inverse;
    }
  }
}

/// With n = (x - mean) * inverse and g = dy * weight:
///   dx = dx_in + inverse * (g - mean(g) - n * mean(g * n))
/// RMSNorm has no mean(g), and its mean is 0.
template <class T>
void norm_grad_rows(const NormGradCall& call, int64_t begin, int64_t end, float* column_sums) {
  const int64_t width = call.width;
  const float inverse_width = 1.f / static_cast<float>(width);
  float *d_weight = column_sums, *d_shift = d_weight + width, *d_x = d_shift + width;
  zero_floats(column_sums, 3 * width);
  for (int64_t r = begin; r < end; ++r) {
    const T* dy = static_cast<const T*>(call.dy) + r * width;
    const float *x = call.x + r * width, *dx_in = call.dx_in ? call.dx_in + r * width : nullptr;
    float* dx = call.dx + r * width;
    T* narrow = call.dx_narrow ? static_cast<T*>(call.dx_narrow) + r * width : nullptr;
    const float mean = call.row_stats[2 * r], inverse = call.row_stats[2 * r + 1];
    Vec sum = {}, dot = {};
    for_each_vector(width, [&](int64_t d, int64_t n) {
      const Vec y = load_lanes(dy + d, n);
      const Vec normal = (load_lanes(x + d, n) - splat(mean)) * splat(inverse);
      const Vec g = y * load_lanes(call.weight + d, n);
      sum += g;
      dot += g * normal;
      add_lanes(d_weight + d, y * normal, n);
      add_lanes(d_shift + d, y, n);
    });
    const float mean_g = call.rms ? 0.f : sum_of_lanes(sum) * inverse_width,
                mean_gn = sum_of_lanes(dot) * inverse_width;
    for_each_vector(width, [&](int64_t d, int64_t n) {
      const Vec normal = (load_lanes(x + d, n) - splat(mean)) * splat(inverse);
      const Vec g = load_lanes(dy + d, n) * load_lanes(call.weight + d, n);
      Vec v = (g - splat(mean_g) - normal * splat(mean_gn)) * splat(inverse);
      if (dx_in) v += load_lanes(dx_in + d, n);
      store_lanes(dx + d, v, n);
      if (narrow) store_lanes(narrow + d, v, n);
      add_lanes(d_x + d, v, n);
    });
  }
}

/// Phi(z) and the density phi(z) of the normal distribution.
struct Normal {
  Vec below, density;
};

/// Phi(-|z|) = e^(-z^2/2) R(1 / (1 + 0.26 |z|)), with R the best polynomial of degree 9 without
/// constant term. The relative error is at most 3e-8 for |z| up to 13.5. For larger |z|, e^(-z^2/2)
/// is 0 in float32.
UVIC_INLINE Normal normal_distribution(Vec z) {
  const Vec size = abs(z);
  const Vec bell = exp2(z * z * splat(-0.72134752f));  // e^(-z^2/2)
  const Vec t = splat(1.f) / (size * 0.26f + 1.f);
  Vec r = t * 0.0307847038f + -0.154194579f;
  r = r * t + 0.254328460f;
  r = r * t + -0.154218271f;
  r = r * t + 0.163228437f;
  r = r * t + 0.0500436053f;
  r = r * t + 0.103286266f;
  r = r * t + 0.102980092f;
  r = r * t + 0.103761271f;
  const Vec tail = r * t * bell;
  return {choose(negative(z), tail, splat(1.f) - tail), bell * 0.398942280f};
}

template <class T>
void gelu_rows(const GeluCall& call, int64_t begin, int64_t end) {
  const int64_t width = call.width;
  for (int64_t r = begin; r < end; ++r) {
    const T* u = static_cast<const T*>(call.u) + r * width;
    T* a = static_cast<T*>(call.a) + r * width;
    for_each_vector(width, [&](int64_t d, int64_t n) {
      Vec z = load_lanes(u + d, n);
      if (call.bias) z += load_lanes(call.bias + d, n);
      store_lanes(a + d, z * normal_distribution(z).below, n);
    });
  }
}

template <class T>
void gelu_grad_rows(const GeluGradCall& call, int64_t begin, int64_t end, float* column_sums) {
  const int64_t width = call.width;
  zero_floats(column_sums, width);
  for (int64_t r = begin; r < end; ++r) {
    const T *u = static_cast<const T*>(call.u) + r * width,
            *da = static_cast<const T*>(call.da) + r * width;
    T *du = static_cast<T*>(call.du) + r * width, *a = static_cast<T*>(call.a) + r * width;
    for_each_vector(width, [&](int64_t d, int64_t n) {
      Vec z = load_lanes(u + d, n);
      if (call.bias) z += load_lanes(call.bias + d, n);
      const Normal normal = normal_distribution(z);
      const Vec v = load_lanes(da + d, n) * (normal.below + z * normal.density);
      store_lanes(du + d, v, n);
      store_lanes(a + d, z * normal.below, n);
      add_lanes(column_sums + d, v, n);
    });
  }
}

template <class T>
void narrow_rows(const NarrowCall& call, int64_t begin, int64_t end, float* column_sums) {
  const int64_t width = call.width;
  if (column_sums) zero_floats(column_sums, width);
  for (int64_t r = begin; r < end; ++r) {
    const float* x = call.x + r * width;
    T* y = call.y ? static_cast<T*>(call.y) + r * width : nullptr;
    for_each_vector(width, [&](int64_t d, int64_t n) {
      const Vec v = load_lanes(x + d, n);
      if (y) store_lanes(y + d, v, n);
      if (column_sums) add_lanes(column_sums + d, v, n);
    });
  }
}

void norm(const NormCall& call, int64_t begin, int64_t end) {
  (call.type == ElementType::bf16 ? norm_rows<uint16_t> : norm_rows<float>)(call, begin, end);
}
void norm_grad(const NormGradCall& call, int64_t begin, int64_t end, float* column_sums) {
  (call.type == ElementType::bf16 ? norm_grad_rows<uint16_t>
                                  : norm_grad_rows<float>)(call, begin, end, column_sums);
}
void gelu(const GeluCall& call, int64_t begin, int64_t end) {
  (call.type == ElementType::bf16 ? gelu_rows<uint16_t> : gelu_rows<float>)(call, begin, end);
}
void gelu_grad(const GeluGradCall& call, int64_t begin, int64_t end, float* column_sums) {
  (call.type == ElementType::bf16 ? gelu_grad_rows<uint16_t>
                                  : gelu_grad_rows<float>)(call, begin, end, column_sums);
}
void narrow(const NarrowCall& call, int64_t begin, int64_t end, float* column_sums) {
  (call.type == ElementType::bf16 ? narrow_rows<uint16_t>
                                  : narrow_rows<float>)(call, begin, end, column_sums);
}

}  // namespace uvic::model::UVIC_ISA
