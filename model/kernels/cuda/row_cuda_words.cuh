// Four elements of a row at a time, float32 or bf16, and sums over a warp, for row_cuda.cu.
#pragma once

#include "model/kernels/cuda/cuda_block.cuh"

namespace uvic::model::cuda {

struct alignas(8) HalfWords {
  uint32_t low, high;
};

UVIC_DEVICE Four widen(const HalfWords& w) {
  return {Bf16::low(w.low), Bf16::high(w.low), Bf16::low(w.high), Bf16::high(w.high)};
}
UVIC_DEVICE HalfWords narrow(const Four& x) { return {Bf16::pack(x.a, x.b), Bf16::pack(x.c, x.d)}; }
UVIC_DEVICE Four load_four(const float* x) { return *reinterpret_cast<const Four*>(x); }
UVIC_DEVICE Four load_four(const uint16_t* x) {
  return widen(*reinterpret_cast<const HalfWords*>(x));
}
UVIC_DEVICE void store_four(float* x, const Four& y) { *reinterpret_cast<Four*>(x) = y; }
UVIC_DEVICE void store_four(uint16_t* x, const Four& y) {
  *reinterpret_cast<HalfWords*>(x) = narrow(y);
}
UVIC_DEVICE Four plus(const Four& x, const Four& y) {
  return {x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d};
}
UVIC_DEVICE float total(const Four& x) { return (x.a + x.b) + (x.c + x.d); }

UVIC_DEVICE float sum_of_warp(float x) {
  UVIC_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) x += shuffle_xor(x, mask);
  return x;
}

UVIC_DEVICE int lane() { return thread_index() % 32; }
UVIC_DEVICE int warp() { return thread_index() / 32; }

}  // namespace uvic::model::cuda
