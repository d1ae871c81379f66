// AdamW, the moving average of the weights and their bf16 copy in one pass over memory. Included by
// isa_*.cpp only.
#pragma once

#include "model/kernels/cpu/kernel_table.h"
#include "model/kernels/cpu/simd.h"

namespace uvic::model::UVIC_ISA {

/// One step for elements begin to end of one parameter, in PyTorch's order of operations:
///   p = p * decay_factor
///   m = beta1 m + (1 - beta1) g
///   v = beta2 v + (1 - beta2) g^2
///   p -= step_size m / (sqrt(v) * inverse_sqrt_correction2 + epsilon)
///   ema += ema_rest (p - ema)
void adamw(const AdamwCall& call, int64_t begin, int64_t end) {
  const Vec grad_factor = splat(call.grad_factor), decay_factor = splat(call.decay_factor);
  const Vec beta1 = splat(call.beta1), rest1 = splat(call.rest1), beta2 = splat(call.beta2),
            rest2 = splat(call.rest2);
  const Vec step_size = splat(call.step_size), correction = splat(call.inverse_sqrt_correction2);
  const Vec epsilon = splat(call.epsilon), ema_rest = splat(call.ema_rest);
  for_each_vector(end - begin, [&](int64_t offset, int64_t n) {
    const int64_t i = begin + offset;
    Vec p = load_lanes(call.param + i, n);
    if (call.grad) {
      const Vec g = load_lanes(call.grad + i, n) * grad_factor;
      const Vec m = load_lanes(call.mean + i, n) * beta1 + g * rest1;
      const Vec v = load_lanes(call.square + i, n) * beta2 + g * g * rest2;
      p = p * decay_factor - step_size * m / (square_root(v) * correction + epsilon);
      store_lanes(call.mean + i, m, n);
      store_lanes(call.square + i, v, n);
      store_lanes(call.param + i, p, n);
    }
    if (call.ema) {
      const Vec ema = load_lanes(call.ema + i, n);
      store_lanes(call.ema + i, ema + ema_rest * (p - ema), n);
    }
    if (call.narrow) store_lanes(call.narrow + i, p, n);
  });
}

/// The sum is in float32 lanes, which are added in float64 every few thousand elements.
double sum_of_squares(const float* x, int64_t count) {
  constexpr int64_t kPiece = 4096;
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kPiece) {
    const int64_t size = count - begin < kPiece ? count - begin : kPiece;
    Vec sum = {};
    for_each_vector(size, [&](int64_t i, int64_t n) {
      const Vec v = load_lanes(x + begin + i, n);
      sum += v * v;
    });
    float lanes[kLanes];
    store(lanes, sum);
    for (int i = 0; i < kLanes; ++i) total += lanes[i];
  }
  return total;
}

}  // namespace uvic::model::UVIC_ISA
