// Products of activations and weights on the CPU, for code with hand-written gradients. Each is
// fused with the pass over memory that follows it. None of these functions records a graph.
//
// Activations x are [..., width], contiguous, float32 or bf16. Weights are float32 [out, in]. They
// are rounded to bf16 if x is bf16 and the CPU multiplies bf16. Our products sum in float32 and
// give the same bits with every number of threads. The result of a row depends on that row only.
#pragma once

#include "base/torch.h"
#include "model/kernels/cpu/row_kernels.h"

namespace uvic::model {

/// Whose products run: ours, LibTorch's (oneDNN, OpenBLAS), or `fastest`: ours where the kernels
/// have wide vectors or tiles, LibTorch's elsewhere, and for bf16 where the CPU has AMX and its
/// kernels are not used.
enum class ProductSource { fastest, ours, library };

/// Process-wide; the default is `fastest`. Change it only while no network runs.
void use_products(ProductSource source);

/// Whether the product of a row (of this `dtype`) with a weight has the same bits for all other
/// rows. True for our products and oneDNN's bf16 products, false for OpenBLAS.
bool products_keep_rows_apart(torch::Dtype dtype);

/// During the lifetime of such an object, forward products on all threads keep their repacked
/// weights. Repacking is a quarter of the time of the evaluation of one image. During this time no
/// weight may change or be freed. Objects can be nested.
class KeepPackedWeights {
 public:
  KeepPackedWeights();
  ~KeepPackedWeights();
  KeepPackedWeights(const KeepPackedWeights&) = delete;
  KeepPackedWeights& operator=(const KeepPackedWeights&) = delete;
};
bool packed_weights_kept();  ///< whether such an object exists

/// x w^T + bias, [..., out] in the dtype of x; bias [out] float32 or undefined.
torch::Tensor product_rows(const torch::Tensor& x,
                           const torch::Tensor& weight,
                           const torch::Tensor& bias);

/// residual + x w^T + bias, [..., out] in float32; residual float32 or undefined.
torch::Tensor product_add_rows(const torch::Tensor& residual,
                               const torch::Tensor& x,
                               const torch::Tensor& weight,
                               const torch::Tensor& bias);

/// z = x w^T + bias and gelu of this z, both [..., out] in the dtype of x.
struct GeluRows {
  torch::Tensor z, activated;
};
GeluRows product_gelu_rows(const torch::Tensor& x,
                           const torch::Tensor& weight,
                           const torch::Tensor& bias);

/// dy w, [..., in] in the dtype of dy, or float32 if `wide`. `weight` may be a slice of columns.
torch::Tensor product_grad(const torch::Tensor& dy, const torch::Tensor& weight, bool wide = false);

/// du = (dy w) * gelu'(z) in the dtype of z, its sum over rows, [in] float32, and gelu(z) again.
GeluGrads product_gelu_grad(const torch::Tensor& dy,
                            const torch::Tensor& weight,
                            const torch::Tensor& z);

/// The same for a SwiGLU, z [..., 2 in] and h = silu(a) * b with z = [a, b]: the gradient of z for
/// dh = dy w, its sum over rows, and h again.
GeluGrads product_swiglu_grad(const torch::Tensor& dy,
                              const torch::Tensor& weight,
                              const torch::Tensor& z);

/// dy^T x, [out, in] float32.
torch::Tensor product_weight_grad(const torch::Tensor& dy, const torch::Tensor& x);

}  // namespace uvic::model
