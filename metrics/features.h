// Networks that turn pictures into feature vectors, chosen by name.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace uvic::metrics {

/// What one forward pass of an extractor tells of N pictures; undefined where it has no such
/// output.
struct Activations {
  torch::Tensor features;  ///< float32 [N, D]: FID, KID, precision and recall
  torch::Tensor spatial;   ///< float32 [N, S], features that keep their place in the picture: sFID
  torch::Tensor
      logits;  ///< float32 [N, K], unnormalised log-probabilities of classes: Inception Score
};

/// A named, fixed map from pictures to vectors.
class FeatureExtractor {
 public:
  virtual ~FeatureExtractor() = default;
  virtual std::string name()
      const = 0;  ///< as reports print it: "embedded", "inception-v3/pytorch-fid", ...
  virtual std::string distance_name()
      const = 0;  ///< "FID" for the Inception protocols, "FD" for every other
  virtual std::string weights_sha256() const = 0;
  virtual std::string resize() const = 0;  ///< how pictures are brought to the network's size
  virtual std::string precision() const { return "fp32"; }
  virtual int64_t dimensions() const = 0;
  virtual int64_t spatial_dimensions() const { return 0; }  ///< 0: no spatial features
  virtual int64_t num_classes() const { return 0; }         ///< 0: no logits

  /// images uint8 [N, 3, H, W]. A row depends on its picture alone: on the CPU it is the same bit
  /// for bit whatever the other pictures, their number and the number of threads. Throws
  /// std::invalid_argument on another shape or dtype.
  virtual Activations activations(const torch::Tensor& images) const = 0;

  /// activations().features: float32 [N, dimensions()].
  torch::Tensor extract(const torch::Tensor& images) const { return activations(images).features; }
};

/// Throws std::invalid_argument unless images are uint8 [N, 3, H, W].
void check_images(const torch::Tensor& images, const char* where);

/// Runs `network` on groups of exactly `group` pictures, moved to `device` (the last group is
/// filled up by repeating its first picture), and stacks what comes back on the CPU. On the CPU
/// each group has one thread of its own. That is what makes a row depend on its picture alone.
Activations in_groups(const torch::Tensor& images,
                      int64_t group,
                      const torch::Device& device,
                      const std::function<Activations(const torch::Tensor&)>& network);

}  // namespace uvic::metrics
