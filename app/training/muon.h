// Muon: updates of hidden matrices that are nearly orthogonal, AdamW for all other parameters.
#pragma once

#include <cstdint>
#include <memory>

#include "app/training/optimizer.h"
#include "base/table.h"
#include "base/torch.h"

namespace uvic::app {

/// A matrix near the orthogonal factor U V^T of m = U S V^T, [rows, columns], in float32.
///
/// X_0 = m / |m| (Frobenius), then `iterations` times
///   A = X X^T,  X <- a X + (b A + c A^2) X,  a = 3.4445, b = -4.7750, c = 2.0315,
/// for rows > columns on the transpose. After five iterations singular values above a hundredth of
/// |m| are between 0.68 and 1.14. Products run in `compute` (float32 or bf16). A matrix of zeros
/// stays one. Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural
/// networks"; the iteration: Bernstein and Newhouse 2024, arXiv:2409.20325.
torch::Tensor orthogonalised(const torch::Tensor& m, int64_t iterations, torch::Dtype compute);

/// The factor on the nearly orthogonal update of a matrix.
struct MuonScale {
  const char* name;
  const char* help;
  double (*factor)(int64_t rows, int64_t columns);
};

/// spectral: sqrt(max(1, rows / columns)), Jordan et al. 2024. rms: 0.2 sqrt(max(rows, columns)),
/// Liu et al. 2025, arXiv:2502.16982.
base::Table<MuonScale>& muon_scales();

/// For the matrices of hidden layers (OptimizedTensors::matrices; a stack such as qkv is split
/// into as many matrices of equal height), with g the gradient as AdamW clips it and
/// r = muon_lr lr / (the lr of the config):
///
///   m = mu m + (1 - mu) g,  u = mu m + (1 - mu) g   (Nesterov)
///   W = W (1 - r muon_weight_decay) - r factor(rows, columns) orthogonalised(u)
///
/// All other parameters are AdamW's. Each matrix is computed by one thread, so the bits do not
/// depend on the number of threads. Products run in bf16 where the hardware multiplies it faster.
///
/// State: momentum (m) of the matrices, exp_avg and exp_avg_sq of the others, float32. Throws
/// std::invalid_argument where no parameter is the matrix of a hidden layer.
std::unique_ptr<Optimizer> make_muon(const OptimizerConfig& config,
                                     const OptimizedTensors& tensors);

}  // namespace uvic::app
