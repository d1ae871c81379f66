// The network of metrics/embedded_features.h and what is stored with it.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/torch.h"

namespace uvic::metrics {

/// Five 3x3 convolutions, a hidden layer on their means over places, a classifier. x is [N, 3, 32,
/// 32] in [-1, 1].
class EmbeddedNet : public torch::nn::Module {
 public:
  explicit EmbeddedNet(int64_t num_classes);

  /// Logits [N, num_classes].
  torch::Tensor forward(const torch::Tensor& x);

  struct Output {
    torch::Tensor features;  ///< [N, 256], not yet standardised
    torch::Tensor logits;    ///< [N, num_classes]
  };

  /// Features join four views of the image, so that a distance sees colour and grain as well as
  /// content: mean and standard deviation over places of the first layer's 32 channels, mean of the
  /// third layer's 64, and the hidden layer's 128 before its rectifier.
  Output describe(const torch::Tensor& x);

 private:
  struct Layers {
    torch::Tensor first;   // [N, 32, 32, 32]
    torch::Tensor third;   // [N, 64, 16, 16]
    torch::Tensor hidden;  // [N, 128, 1, 1]
  };
  Layers layers(const torch::Tensor& x);
  torch::Tensor logits(const torch::Tensor& hidden);

  torch::nn::Conv2d conv1_, conv2_, conv3_, conv4_, conv5_;
  // 1x1 convolutions rather than linear layers: a row of a matrix product may depend on where it
  // stands.
  torch::nn::Conv2d hidden_, classify_;
};

/// A trained network with what turns its features into standard scores over its training images.
struct EmbeddedWeights {
  std::shared_ptr<EmbeddedNet> net;
  torch::Tensor feature_mean, feature_std;  ///< float32 [256]
  std::vector<std::string> class_names;
  std::string trained_on;  ///< the data set in words
};

}  // namespace uvic::metrics
