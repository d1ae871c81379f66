// Products of activations and weights on the CPU for code that writes its gradients by hand, each
// with the pass over memory that would follow it. None of these records a graph.
//
// Activations x are [..., width], contiguous, float32 or bf16; weights are float32 [out, in],
// rounded to bf16 on the way in where x is bf16 and the CPU multiplies bf16. Our own products sum
// in float32, give the same bits whatever the number of threads, and let a row's result depend on
// that row alone.
#pragma once

#include <torch/torch.h>

#include "model/kernels/cpu/row_kernels.h"

namespace uvic::model {

/// Whose products run: ours, LibTorch's (oneDNN, OpenBLAS), or `fastest`: ours where the kernels
/// have wide vectors or tiles, LibTorch's elsewhere, and for bf16 where AMX is there but its kernels are not used.
enum class ProductSource { fastest, ours, library };

/// Process-wide; change it while no network runs. `fastest` from the start.
void use_products(ProductSource source);

/// Whether a row's product with a weight has the same bits whatever the other rows: `dtype` is that
/// of the rows. Ours and oneDNN's bf16 ones do, OpenBLAS's do not.
bool products_keep_rows_apart(torch::Dtype dtype);

/// While one of these lives, forward products on any thread keep their weights as they repacked
/// them: of a single image's evaluation that is a quarter of the time. Meanwhile no weight may
/// change or go away. They nest.
class KeepPackedWeights {
 public:
  KeepPackedWeights();
  ~KeepPackedWeights();
  KeepPackedWeights(const KeepPackedWeights&) = delete;
  KeepPackedWeights& operator=(const KeepPackedWeights&) = delete;
};
bool packed_weights_kept();  ///< whether one lives

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

/// dy^T x, [out, in] float32.
torch::Tensor product_weight_grad(const torch::Tensor& dy, const torch::Tensor& x);

}  // namespace uvic::model
