// A regulariser of activations: examples are pushed apart, without positive pairs.
#pragma once

#include <cstdint>

#include "base/torch.h"

namespace uvic::diffusion {

/// The dispersive loss of each group of `group` consecutive examples, [B / group]:
///
///   log(1 / G sum over i, j of exp(-|z_i - z_j|^2 / (N tau)))
///
/// with z_i the N numbers of example i and G = `group`. As in the official code the pairs i = j
/// count. The official loss is the log of the mean over pairs, which has the same gradient and is
/// less by log(G): this one is between 0 and log(G), as a loss of training that is never negative
/// needs it. z is [B, ...]; the result has its dtype. Gradients
/// flow to z. Throws std::invalid_argument unless `group` divides B.
///
/// Source: Wang and He 2025, arXiv:2506.09027 (InfoNCE with squared distances), there over all
/// pairs of a batch.
torch::Tensor dispersive_losses(const torch::Tensor& z, int64_t group, double tau);

}  // namespace uvic::diffusion
