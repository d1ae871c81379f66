// Keys and values of low rank: a smaller cache for a trained language model.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/torch.h"
#include "model/decoder_lm/decoder_lm.h"
#include "model/network_config.h"

namespace uvic::model {

/// What the heads of one layer showed on calibration tokens, sums over them, float64.
struct HeadMoments {
  /// [key-value heads, D, D] of K^T K + sum Q^T Q, with the queries of the heads that share the key,
  /// both before rotations. Undefined where the attention reads no keys.
  torch::Tensor keys;
  torch::Tensor values;  ///< [key-value heads, D, D] of V^T V
};

/// Of every layer, over the tokens [B, L] of each call of `next` until one is undefined. Throws
/// std::invalid_argument where the network has low rank already.
std::vector<HeadMoments> measure_heads(DecoderLMImpl& network,
                                       const std::function<torch::Tensor()>& next);

/// The smallest r with which each head's r largest eigenvalues of `moments` [heads, D, D] sum to at
/// least `threshold` of all: the rank of the layer is that of the head that needs most. D at a
/// threshold of 1.
int64_t rank_at(const torch::Tensor& moments, double threshold);

/// A network of low rank: its config and its weights.
struct LowRankWeights {
  DecoderLMConfig config;
  NamedTensors tensors;
};

/// `network` with keys and values on the r leading eigenvectors U [D, r] of each head's moments:
/// k_proj becomes U^T W_k and k_basis U^T, the same for values, so that the keys are U U^T k. The
/// cache keeps the r numbers U^T k. A layer whose rank is D stays as it is.
///
/// Source: Saxena et al. 2024, arXiv:2408.05646 ("Eigen Attention"); there too one rank for all
/// heads of a layer, and keys that are rebuilt before RoPE. Unlike there the basis of the values is
/// not folded into o_proj: every kind of attention then sees values of the whole width.
/// Throws std::invalid_argument where the network has low rank already, and for a threshold that is
/// not above 0 and at most 1.
LowRankWeights compress_heads(const DecoderLMImpl& network,
                              const std::vector<HeadMoments>& moments,
                              double threshold);

}  // namespace uvic::model
