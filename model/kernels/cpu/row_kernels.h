// Passes over the rows of activations on the CPU, for code with hand-written gradients. None of
// these functions records a graph.
//
// Activations are [..., width], contiguous, float32 or bf16. Parameters, statistics and residual
// streams are float32. Sums over rows are computed in pieces whose size depends on the number of
// rows only, so the result does not depend on the number of threads.
#pragma once

#include "base/torch.h"
namespace uvic::model {

/// LayerNorm with weight and shift over the last dimension. Without a shift it is RMSNorm, whose
/// mean below is 0.
struct Norm {
  torch::Tensor weight, shift;  ///< [width]; the shift may be undefined
  double epsilon = 1e-5;
};

struct Normalized {
  torch::Tensor y;      ///< the shape of x, in the requested dtype
  torch::Tensor stats;  ///< [rows, 2]: mean and 1 / sqrt(variance + epsilon) of each row
};

/// y = (x - mean) / sqrt(var + epsilon) * weight + shift, x float32.
Normalized norm_rows(const torch::Tensor& x, const Norm& norm, torch::Dtype dtype);

/// sum = x + delta + bias in float32, and norm_rows() of it in the dtype of delta. x and bias may
/// be undefined.
struct ResidualNormalized {
  torch::Tensor sum;
  Normalized normalized;
};
ResidualNormalized add_and_norm_rows(const torch::Tensor& x,
                                     const torch::Tensor& delta,
                                     const torch::Tensor& bias,
                                     const Norm& norm);

/// x + delta + bias in float32; x and bias may be undefined.
torch::Tensor add_rows(const torch::Tensor& x,
                       const torch::Tensor& delta,
                       const torch::Tensor& bias);

/// The gradients of LayerNorm, and the values that the layers before it need.
struct NormGrads {
  torch::Tensor dx;             ///< dx_in + the gradient of LayerNorm, float32
  torch::Tensor dx_narrow;      ///< the same in the dtype of dy; dx itself if that is float32
  torch::Tensor dx_columns;     ///< [width], the sum of dx over rows
  torch::Tensor weight, shift;  ///< [width]; the shift is undefined for RMSNorm
};

/// x is the input of the norm, stats are those of norm_rows(). dx_in may be undefined.
NormGrads norm_rows_grad(const torch::Tensor& dy,
                         const torch::Tensor& x,
                         const torch::Tensor& stats,
                         const Norm& norm,
                         const torch::Tensor& dx_in);

/// Adds rows 1, 2, ... of sums [pieces, columns] to row 0, in this order.
void add_pieces(float* sums, int64_t pieces, int64_t columns);

/// gelu(u + bias), exact (erf); bias may be undefined.
torch::Tensor gelu_rows(const torch::Tensor& u, const torch::Tensor& bias);

/// The gradient of gelu(u + bias), and its value, so that the forward pass need not keep it.
struct GeluGrads {
  torch::Tensor du;         ///< in the memory of da
  torch::Tensor bias;       ///< [width], the sum of du over rows
  torch::Tensor activated;  ///< the same bits as gelu_rows()
};
GeluGrads gelu_rows_grad(const torch::Tensor& u, const torch::Tensor& bias, torch::Tensor da);

/// silu(a) * b, [..., width], for z = [a, b], [..., 2 width], in the dtype of z.
torch::Tensor swiglu_rows(const torch::Tensor& z);

/// The gradient of the same, and its value, as GeluGrads: du and bias are 2 width wide.
GeluGrads swiglu_rows_grad(const torch::Tensor& z, torch::Tensor dh);

/// How queries and keys are changed before attention: RMSNorm of each head, and a rotation of the
/// pairs (d, d + D / 2) by the place of their token. Either may be undefined.
struct HeadPlacing {
  int64_t heads = 1;
  torch::Tensor q_weight, k_weight;  ///< [D], float32
  torch::Tensor cos, sin;  ///< [places, D / 2], float32; row r of qkv has place r % places
  double epsilon = 1e-6;

  bool any() const { return q_weight.defined() || cos.defined(); }
};

/// qkv [..., 3 H D] with the queries and keys placed, D even. Works in place where `in_place`.
torch::Tensor place_heads(const torch::Tensor& qkv, const HeadPlacing& placing, bool in_place);

struct HeadPlacingGrads {
  torch::Tensor dqkv;                ///< in the memory of the gradient given
  torch::Tensor q_weight, k_weight;  ///< undefined without weights
};

/// qkv is what place_heads() was given. It may be undefined if placing has no weights.
HeadPlacingGrads place_heads_grad(const torch::Tensor& qkv,
                                  const HeadPlacing& placing,
                                  torch::Tensor d);

/// x (float32) in another dtype, and its sum over rows, [width], in one pass.
struct Narrowed {
  torch::Tensor y, columns;
};
Narrowed narrow_rows(const torch::Tensor& x, torch::Dtype dtype);

/// x (float32) in another dtype; x itself if that is float32.
torch::Tensor cast_rows(const torch::Tensor& x, torch::Dtype dtype);

}  // namespace uvic::model
