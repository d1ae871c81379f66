// The feature network that comes with the program, so that scoring works offline: a small
// convolutional classifier. Its distance is "FD (embedded)". It is no FID: other features, other
// scale.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/torch.h"
#include "metrics/features.h"

namespace uvic::metrics {

constexpr int64_t kEmbeddedImageSize = 32;  // px, what the network sees
constexpr int64_t kEmbeddedGroups[] = {
    32, 32, 64, 128};  // the views that EmbeddedNetImpl::describe joins
constexpr int64_t kEmbeddedDimensions = 256;

/// Five 3x3 convolutions, a hidden layer on their means over places, a classifier. x is [N, 3, 32,
/// 32] in [-1, 1].
class EmbeddedNetImpl : public torch::nn::Module {
 public:
  explicit EmbeddedNetImpl(int64_t num_classes);

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
TORCH_MODULE(EmbeddedNet);

/// A trained network with what turns its features into standard scores over its training images.
struct EmbeddedWeights {
  EmbeddedNet net{nullptr};
  torch::Tensor feature_mean, feature_std;  ///< float32 [256]
  std::vector<std::string> class_names;
  std::string trained_on;  ///< the data set in words
};

/// One file of safetensors, weights in float16. Reading throws std::runtime_error naming the file
/// and what it lacks.
void write_embedded_weights(const std::filesystem::path& path, const EmbeddedWeights& weights);
EmbeddedWeights read_embedded_weights(const std::filesystem::path& path);

/// uint8 [N, 3, H, W] -> float32 [N, 3, 32, 32] in [-1, 1]. Other sizes: the whole image is
/// squeezed to 32 x 32 by antialiased bilinear resampling (PyTorch's interpolate with antialias,
/// centres of pixels aligned); nothing is cropped, the aspect ratio is not kept.
torch::Tensor embedded_input(const torch::Tensor& images);

/// The extractor `name`: features are standard scores, (f - mean) / std over the network's training
/// set.
std::unique_ptr<FeatureExtractor> load_embedded_extractor(const std::filesystem::path& path,
                                                          const torch::Device& device = torch::kCPU,
                                                          const std::string& name = "embedded");

}  // namespace uvic::metrics
