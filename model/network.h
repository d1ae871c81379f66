// What training, sampling and scoring know of any network, and the table of the networks there are.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/network_config.h"

namespace uvic::model {

/// A network that training and sampling drive. Parameters are registered under their official names
/// and stay in float32, or in what to() made them.
class Network : public torch::nn::Module {
 public:
  /// x [B, C, S, S] as input() says; timesteps [B] as the network wants them (t * 999 for the
  /// continuous SDE); `condition`: class labels int64 [B], or context [B, context_tokens,
  /// context_dim], or undefined. Returns the prediction, shape and dtype of x. Throws
  /// std::invalid_argument on shapes that disagree with the config.
  virtual torch::Tensor forward(const torch::Tensor& x,
                                const torch::Tensor& timesteps,
                                const torch::Tensor& condition) = 0;
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& timesteps) {
    return forward(x, timesteps, {});
  }

  /// What forward() takes.
  virtual NetworkInput input() const = 0;

  /// Whether, without gradients, an image's prediction has the same bits in a batch as alone, at
  /// the price of a batch. Where it is false, forward() takes CPU images one by one to the same
  /// end.
  virtual bool is_batch_invariant() const = 0;

  /// The dtype of matrix products and attention inside the blocks; embeddings, the residual stream,
  /// sums of LayerNorm and softmax and the output layers keep that of the parameters, which is the
  /// default here too. bfloat16 is the mixed precision of training.
  void set_compute_dtype(torch::Dtype dtype) { compute_dtype_ = dtype; }
  torch::Dtype compute_dtype() const;

  /// Where the parameters are.
  torch::Device device() const;

 protected:
  /// A parameter that every network of this kind has: its dtype and device are the network's.
  virtual const torch::Tensor& first_parameter() const = 0;

 private:
  std::optional<torch::Dtype> compute_dtype_;
};

using NetworkPtr = std::shared_ptr<Network>;

/// The network that the config describes, with fresh weights from torch's global generator. Throws
/// std::invalid_argument where the config contradicts itself.
NetworkPtr make_network(const NetworkConfig& config);

}  // namespace uvic::model
