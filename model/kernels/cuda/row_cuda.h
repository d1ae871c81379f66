// The row passes of a transformer block on a GPU: residual sums, LayerNorm and GELU, forward and
// backward. Each reads and writes device memory once. Without LibTorch.
//
// The residual stream, statistics and sums are float32, and the operands of products are bf16
// (uint16_t here). All rows are contiguous and begin at a multiple of 16 bytes; `width` is a
// multiple of 8. Sums over rows run in a fixed order that depends on the shape alone, so results
// have the same bits every time.
#pragma once

#include <stdint.h>

namespace uvic::model::cuda {

constexpr int kWidestNorm = 1152;     ///< largest width of norm_forward and norm_backward
constexpr int64_t kMostSlices = 512;  ///< most partial sums of a column

/// s = x + add, out = (s - mean) / sqrt(variance + epsilon) * weight + bias
struct NormCall {
  const float* x;              ///< [rows, width]; null: 0
  const uint16_t* add;         ///< [rows, width]; null: 0
  float* sum;                  ///< s; null if not wanted
  const float *weight, *bias;  ///< [width]
  uint16_t* out;               ///< [rows, width]
  float* stats;  ///< [rows, 2]: mean and 1 / sqrt(variance + epsilon); null if not wanted
  int64_t rows;
  int width;
  float epsilon;
};
void norm_forward(const NormCall& call, void* stream);

/// dx = the gradient of norm_forward's s, plus `residual`; three sums over rows.
struct NormGradCall {
  const uint16_t* grad;  ///< of out
  const float *s, *stats, *weight;
  const float* residual;  ///< [rows, width]
  float* dx;
  uint16_t* dx_narrow;  ///< dx rounded to bf16
  float* partial;       ///< scratch, [kMostSlices, 3 width]
  float* sums;          ///< [3, width]: gradients of weight and bias, and the sum of dx
  int64_t rows;
  int width;
};
void norm_backward(const NormGradCall& call, void* stream);

/// out = x + add, float32, `count` elements.
struct AddCall {
  const float* x;
  const uint16_t* add;
  float* out;
  int64_t count;
};
void add_narrow(const AddCall& call, void* stream);

/// out = x as bf16 at a row stride of its own, and the sum over rows.
struct NarrowCall {
  const float* x;  ///< [rows, width]
  uint16_t* out;
  int64_t out_stride;  ///< elements from row to row, a multiple of 8
  float* partial;      ///< scratch, [kMostSlices, width]; null if no sum is wanted
  float* sums;         ///< [width]
  int64_t rows;
  int width;
};
void narrow_rows(const NarrowCall& call, void* stream);

/// out = z Phi(z), Phi the normal distribution function: the exact GELU (Hendrycks and Gimpel 2016,
/// arXiv:1606.08415). `count` elements, a multiple of 8.
struct GeluCall {
  const uint16_t* z;
  uint16_t* out;
  int64_t count;
};
void gelu_forward(const GeluCall& call, void* stream);

/// dz = grad (Phi(z) + z phi(z)), and its sum over rows, taken before rounding.
struct GeluGradCall {
  const uint16_t *z, *grad;  ///< [rows, width]
  uint16_t* dz;              ///< may be grad
  float* partial;            ///< scratch, [kMostSlices, width]
  float* sums;               ///< [width]
  int64_t rows;
  int width;
};
void gelu_backward(const GeluGradCall& call, void* stream);

}  // namespace uvic::model::cuda
