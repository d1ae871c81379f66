// Self-alignment: an early block of the network in training follows a later block of the average of
// its weights, which sees less noise.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>

#include "app/runs/run_config.h"
#include "base/torch.h"
#include "model/linear.h"

namespace uvic::app {

/// fc2(silu(fc1(h))) of activations [..., D], D -> 2 D -> D: what makes them comparable with the
/// block that they follow. It is for training: states have it, weights don't.
class AlignmentHeadImpl : public torch::nn::Module {
 public:
  /// New weights from torch's global generator.
  explicit AlignmentHeadImpl(int64_t width);

  /// float32 (or the dtype of the weights). The products run in the dtype `compute`.
  torch::Tensor forward(const torch::Tensor& h, torch::Dtype compute);

  model::Linear fc1{nullptr}, fc2{nullptr};
};
TORCH_MODULE(AlignmentHead);

/// The mean over patches and channels of smooth L1 with beta = 0.05, [B], of two [B, P, D]:
///
///   d^2 / (2 beta) where |d| < beta, else |d| - beta / 2,  d = predicted - target
///
/// Source: Jiang et al. 2025, arXiv:2505.02831 (SRA), and its code.
torch::Tensor alignment_losses(const torch::Tensor& predicted, const torch::Tensor& target);

/// The width of the head that config.diffusion.alignment_loss needs; 0: none.
int64_t alignment_width(const RunConfig& config);

/// The number of its parameters.
int64_t alignment_parameters(const RunConfig& config);

/// Multiplications and additions for one image besides a training step without it: the average's
/// evaluation up to its block, and the head, forward and backward.
double alignment_flops(const RunConfig& config);

/// Bytes of activations for one image: the target, the head's, and both sides of the loss.
double alignment_activations(const RunConfig& config, double compute_bytes);

}  // namespace uvic::app
