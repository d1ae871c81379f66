// How much the loss depends on each block: norms of its gradients.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "app/lab/lab_feed.h"
#include "app/lab/moments.h"
#include "base/torch.h"
#include "model/attention/statistics.h"
#include "model/network.h"

namespace uvic::app {

/// For each block, of one example. With L its loss, X [L, dim] the tokens after the block (in a
/// causal network those up to the last that the loss depends on) and theta the parameters of the
/// block:
///
///   token_gradient      mean over tokens of |dL/dX_i|; unit: loss by unit of the residual stream
///   relative_gradient   sum over tokens of |X_i| |dL/dX_i|; unit: loss. If each token changes by at
///                       most r times its norm, the loss changes by at most r times this number, to
///                       first order
///   parameter_gradient  |dL/dtheta|, over all parameters of the block; unit: loss by unit of theta
///
/// Norms are Euclidean. What a norm of activations is, block_statistics() has: token_norm.
const std::vector<model::AttentionStatistic>& gradient_statistics();

/// The numbers above in their order: float64 [blocks, gradient statistics] on the CPU, of the loss
/// that `loss` returns after a call of network.forward() with gradients for one example. `tokens`:
/// only the first ones are those of X; 0: all. NaN for a loss that is NaN. Leaves no gradient in
/// the parameters. Throws std::invalid_argument for a network without blocks to look at, or whose
/// blocks are computed again in the backward pass (use_checkpoint).
torch::Tensor block_gradients(model::Network& network,
                              const std::function<torch::Tensor()>& loss,
                              int64_t tokens = 0);

/// Of each place the moments over the first `examples` examples, one after the other: block,
/// gradient statistic. `progress(done)` counts examples times places.
std::vector<Moments> measure_gradients(model::Network& network,
                                       LabFeed& feed,
                                       int64_t examples,
                                       const std::function<void(int64_t)>& progress);

}  // namespace uvic::app
