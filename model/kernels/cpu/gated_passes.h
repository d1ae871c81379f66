// Passes over rows for blocks with other parts than the published ones: SwiGLU, and the norm and the
// rotation of queries and keys, each with its gradient. Arithmetic is float32 for every stored type.
// Included by isa_*.cpp only.
#pragma once

#include "model/kernels/cpu/row_passes.h"

namespace uvic::model::UVIC_ISA {

/// 1 / (1 + e^-x); NaN for NaN.
UVIC_INLINE Vec sigmoid(Vec x) {
  const Vec power = min(splat(126.f), x * -1.44269504f);  // of 2
  return splat(1.f) / (exp2(power) + 1.f);
}

template <class T>
void swiglu_rows(const SwigluCall& call, int64_t begin, int64_t end) {
  const int64_t width = call.width;
  for (int64_t r = begin; r < end; ++r) {
    const T *gate = static_cast<const T*>(call.z) + 2 * r * width, *linear = gate + width;
    T* h = static_cast<T*>(call.h) + r * width;
    for_each_vector(width, [&](int64_t d, int64_t n) {
      const Vec a = load_lanes(gate + d, n);
      store_lanes(h + d, a * sigmoid(a) * load_lanes(linear + d, n), n);
    });
  }
}

/// The gradient of h = silu(a) b for dh, and h.
struct SwigluGrad {
  Vec da, db, h;
};
/// With s = sigmoid(a): da = dh b s (1 + a (1 - s)) and db = dh a s.
UVIC_INLINE SwigluGrad swiglu_gradient(Vec a, Vec b, Vec dh) {
  const Vec s = sigmoid(a), silu = a * s;
  return {dh * b * (s + silu * (splat(1.f) - s)), dh * silu, silu * b};
}

template <class T>
void swiglu_grad_rows(const SwigluGradCall& call, int64_t begin, int64_t end, float* column_sums) {
  const int64_t width = call.width;
  zero_floats(column_sums, 2 * width);
  for (int64_t r = begin; r < end; ++r) {
    const T *gate = static_cast<const T*>(call.z) + 2 * r * width, *linear = gate + width,
            *dh = static_cast<const T*>(call.dh) + r * width;
    T *d_gate = static_cast<T*>(call.dz) + 2 * r * width, *d_linear = d_gate + width,
      *h = static_cast<T*>(call.h) + r * width;
    for_each_vector(width, [&](int64_t d, int64_t n) {
      const auto g = swiglu_gradient(
          load_lanes(gate + d, n), load_lanes(linear + d, n), load_lanes(dh + d, n));
      store_lanes(d_gate + d, g.da, n);
      store_lanes(d_linear + d, g.db, n);
      store_lanes(h + d, g.h, n);
      add_lanes(column_sums + d, g.da, n);
      add_lanes(column_sums + width + d, g.db, n);
    });
  }
}

/// 1 / sqrt(mean(x^2) + epsilon) of a head's `width` elements.
template <class T>
UVIC_INLINE float inverse_rms(const T* x, int64_t width, float epsilon) {
  Vec squares = {};
  for_each_vector(width, [&](int64_t d, int64_t n) {
    const Vec v = load_lanes(x + d, n);
    squares += v * v;
  });
  return 1.f / __builtin_sqrtf(sum_of_lanes(squares) / static_cast<float>(width) + epsilon);
}

/// (a cos - b sin, b cos + a sin).
struct Pair {
  Vec a, b;
};
UVIC_INLINE Pair turned(Pair x, Vec cos, Vec sin) {
  return {x.a * cos - x.b * sin, x.b * cos + x.a * sin};
}

template <class T>
void place_heads_rows(const PlaceHeadsCall& call, int64_t begin, int64_t end) {
  const int64_t width = call.width, half = width / 2, part = call.heads * width;
  for (int64_t r = begin; r < end; ++r) {
    const T* qkv = static_cast<const T*>(call.qkv) + 3 * r * part;
    T* out = static_cast<T*>(call.out) + 3 * r * part;
    const int64_t angles = r % call.places * half;
    for (int64_t h = 0; h < 2 * call.heads; ++h) {
      const T* x = qkv + h * width;
      T* y = out + h * width;
      const float* weight = h < call.heads ? call.q_weight : call.k_weight;
      const Vec inverse = splat(weight ? inverse_rms(x, width, call.epsilon) : 1.f);
      for_each_vector(half, [&](int64_t d, int64_t n) {
        Pair p{load_lanes(x + d, n), load_lanes(x + half + d, n)};
        if (weight)
          p = {p.a * inverse * load_lanes(weight + d, n),
               p.b * inverse * load_lanes(weight + half + d, n)};
        if (call.cos)
          p = turned(p, load_lanes(call.cos + angles + d, n), load_lanes(call.sin + angles + d, n));
        store_lanes(y + d, p.a, n);
        store_lanes(y + half + d, p.b, n);
      });
    }
    if (out == qkv) continue;
    for_each_vector(part, [&](int64_t d, int64_t n) {
      store_lanes(out + 2 * part + d, load_lanes(qkv + 2 * part + d, n), n);
    });
  }
}

/// With n = x * inverse and g = dy * weight, dy turned back: dx = inverse * (g - n * mean(g * n)).
template <class T>
void place_heads_grad_rows(const PlaceHeadsGradCall& call,
                           int64_t begin,
                           int64_t end,
                           float* column_sums) {
  const PlaceHeadsCall& to = call.forward;
  const int64_t width = to.width, half = width / 2, part = to.heads * width;
  zero_floats(column_sums, 2 * width);
  for (int64_t r = begin; r < end; ++r) {
    T* d_qkv = static_cast<T*>(call.d) + 3 * r * part;
    const T* qkv = static_cast<const T*>(to.qkv) + (to.q_weight ? 3 * r * part : 0);
    const int64_t angles = r % to.places * half;
    for (int64_t h = 0; h < 2 * to.heads; ++h) {
      T* dy = d_qkv + h * width;
      const auto turned_back = [&](int64_t d, int64_t n) {
        const Pair p{load_lanes(dy + d, n), load_lanes(dy + half + d, n)};
        if (!to.cos) return p;
        return turned(p, load_lanes(to.cos + angles + d, n), -load_lanes(to.sin + angles + d, n));
      };
      const float* weight = h < to.heads ? to.q_weight : to.k_weight;
      if (!weight) {
        for_each_vector(half, [&](int64_t d, int64_t n) {
          const Pair g = turned_back(d, n);
          store_lanes(dy + d, g.a, n);
          store_lanes(dy + half + d, g.b, n);
        });
        continue;
      }
      const T* x = qkv + h * width;
      float* d_weight = column_sums + (h < to.heads ? 0 : width);
      const float inverse_scalar = inverse_rms(x, width, to.epsilon);
      const Vec inverse = splat(inverse_scalar);
      Vec dot = {};
      for_each_vector(half, [&](int64_t d, int64_t n) {
        const Pair g = turned_back(d, n);
        const Vec a = g.a * load_lanes(x + d, n) * inverse,
                  b = g.b * load_lanes(x + half + d, n) * inverse;
        add_lanes(d_weight + d, a, n);
        add_lanes(d_weight + half + d, b, n);
        dot += a * load_lanes(weight + d, n) + b * load_lanes(weight + half + d, n);
      });
      const Vec mean = splat(sum_of_lanes(dot) / static_cast<float>(width));
      for_each_vector(half, [&](int64_t d, int64_t n) {
        const Pair g = turned_back(d, n);
        const Vec a = load_lanes(x + d, n) * inverse, b = load_lanes(x + half + d, n) * inverse;
        store_lanes(dy + d, (g.a * load_lanes(weight + d, n) - a * mean) * inverse, n);
        store_lanes(
            dy + half + d, (g.b * load_lanes(weight + half + d, n) - b * mean) * inverse, n);
      });
    }
  }
}

void swiglu(const SwigluCall& call, int64_t begin, int64_t end) {
  (call.type == ElementType::bf16 ? swiglu_rows<uint16_t> : swiglu_rows<float>)(call, begin, end);
}
void swiglu_grad(const SwigluGradCall& call, int64_t begin, int64_t end, float* column_sums) {
  (call.type == ElementType::bf16 ? swiglu_grad_rows<uint16_t>
                                  : swiglu_grad_rows<float>)(call, begin, end, column_sums);
}
void place_heads(const PlaceHeadsCall& call, int64_t begin, int64_t end) {
  (call.type == ElementType::bf16 ? place_heads_rows<uint16_t>
                                  : place_heads_rows<float>)(call, begin, end);
}
void place_heads_grad(const PlaceHeadsGradCall& call,
                      int64_t begin,
                      int64_t end,
                      float* column_sums) {
  (call.forward.type == ElementType::bf16
       ? place_heads_grad_rows<uint16_t>
       : place_heads_grad_rows<float>)(call, begin, end, column_sums);
}

}  // namespace uvic::model::UVIC_ISA
