// The interface of all networks to training, sampling and scoring.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/torch.h"
#include "model/network_config.h"

namespace uvic::model {

/// Tokens that bypass the blocks in the middle of a network, in training alone.
///
/// The first and the last `margin` blocks see all tokens. The blocks between see the tokens before
/// the patches and the `kept` patches only. The others join again after them, unchanged. Source:
/// Krause et al. 2025, arXiv:2501.04765 (TREAD).
///
/// A network with a fusion (SPRINT, Park et al. 2025, arXiv:2510.21986) joins by
///
///   h = fusion([deep, shallow])
///
/// in training and in sampling: shallow is the input of the blocks between the margins, for all
/// tokens, and deep is their output for the tokens that they see. Others have the mask token there,
/// and all tokens of an example of `dropped` (path drop). Without a route the blocks see all.
struct TokenRoute {
  torch::Tensor kept;  ///< int64 [B, K]: patches of each example, ascending; undefined: all
  int64_t margin = 2;
  torch::Tensor dropped{};  ///< bool [B]; undefined: none. Only where there is a fusion
};

/// Activations between blocks, which a loss of training reads besides the prediction.
struct BlockOutputs {
  std::vector<int64_t> blocks;  ///< the blocks whose outputs are wanted, counted from 0
  /// For each of them [B, P, D] with its graph: the residual stream of the patches behind it, of the
  /// kept ones where it is on a route. Their number, order and dtype are the network's.
  std::vector<torch::Tensor> tokens{};
};

/// A network. Parameters are registered under their official names and stay in float32, or in the
/// dtype of to().
class Network : public torch::nn::Module {
 public:
  /// Returns the prediction in the shape and dtype of x. A network of sequences takes tokens and
  /// returns logits (model/sequence_network.h).
  ///
  /// x is [B, C, S, S], see input(). timesteps is [B], as in NoiseSchedule::network_time() (t * 999
  /// for the continuous SDE). `condition` is int64 [B] (class labels), or [B, context_tokens,
  /// context_dim], or undefined. Throws std::invalid_argument for other shapes.
  virtual torch::Tensor forward(const torch::Tensor& x,
                                const torch::Tensor& timesteps,
                                const torch::Tensor& condition) = 0;
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& timesteps) {
    return forward(x, timesteps, {});
  }

  /// forward() in training: with a route, unless its kept tokens are undefined, and with the
  /// activations that `outputs` asks for, if any. Throws std::invalid_argument where the network
  /// has no routes, no block between the margins, or no such block.
  virtual torch::Tensor forward_routed(const torch::Tensor& x,
                                       const torch::Tensor& timesteps,
                                       const torch::Tensor& condition,
                                       const TokenRoute& route,
                                       BlockOutputs* outputs = nullptr);

  /// Of a forward pass without gradient, the activations [B, P, D] of all patches behind `block`,
  /// counted from 0; what comes after it is not evaluated. As in BlockOutputs.
  virtual torch::Tensor block_output(const torch::Tensor& x,
                                     const torch::Tensor& timesteps,
                                     const torch::Tensor& condition,
                                     int64_t block);

  /// How many tokens a route may choose from; 0: the network has neither routes nor outputs of
  /// blocks.
  virtual int64_t routable_tokens() const { return 0; }

  /// The input shapes of forward().
  virtual NetworkInput input() const = 0;

  /// Whether, without gradients, the prediction of an image has the same bits in a batch as alone.
  /// If it is false, forward() processes the images of a CPU batch one by one, with the same
  /// result.
  virtual bool is_batch_invariant() const = 0;

  /// How many matrices of a hidden layer the parameter `name` stacks by rows: 3 for qkv, 1 for a
  /// product by itself, 0 where it is none: an embedding, a bias, a norm, an output layer.
  /// Optimizers that treat matrices apart read it.
  virtual int64_t stacked_matrices(const std::string& name) const;

  /// The dtype of matrix products and attention inside the blocks. The default is the dtype of the
  /// parameters. Embeddings, the residual stream, sums of LayerNorm and softmax, and the output
  /// layers always keep the dtype of the parameters. bfloat16 gives mixed-precision training.
  void set_compute_dtype(torch::Dtype dtype) { compute_dtype_ = dtype; }
  torch::Dtype compute_dtype() const;

  /// The device of the parameters.
  torch::Device device() const;

 protected:
  /// Any parameter. Its dtype and device are those of the network.
  virtual const torch::Tensor& first_parameter() const = 0;

 private:
  std::optional<torch::Dtype> compute_dtype_;
};

using NetworkPtr = std::shared_ptr<Network>;

/// Creates the network of the config, with new weights from torch's global generator. Throws
/// std::invalid_argument if the config is inconsistent.
NetworkPtr make_network(const NetworkConfig& config);

}  // namespace uvic::model
