// Networks that turn images into feature vectors, chosen by name.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/torch.h"
#include "metrics/image_batch.h"

namespace uvic::metrics {

/// What one forward pass of an extractor gives for N images; undefined where it has no such output.
struct Activations {
  torch::Tensor features;  ///< float32 [N, D]: FID, KID, precision and recall
  torch::Tensor spatial;   ///< float32 [N, S], features that keep their place in the image: sFID
  torch::Tensor
      logits;  ///< float32 [N, K], unnormalised log-probabilities of classes: Inception Score
};

/// A named, fixed map from images to vectors.
class FeatureExtractor {
 public:
  virtual ~FeatureExtractor() = default;
  virtual std::string name()
      const = 0;  ///< as reports print it: "embedded", "inception-v3/pytorch-fid", ...
  virtual std::string distance_name()
      const = 0;  ///< "FID" for the Inception protocols, "FD" for every other
  virtual std::string weights_sha256() const = 0;
  virtual std::string resize() const = 0;  ///< how images are brought to the network's size
  virtual std::string precision() const { return "fp32"; }
  virtual int64_t dimensions() const = 0;
  virtual int64_t spatial_dimensions() const { return 0; }  ///< 0: no spatial features
  virtual int64_t num_classes() const { return 0; }         ///< 0: no logits
  /// Images of one pass of the network. On the CPU each thread has a pass of its own.
  virtual int64_t images_in_pass() const { return 1; }

  /// images uint8 [N, 3, H, W], of any size: resize() brings them to the network's. A row depends
  /// on its image alone: on the CPU it is the same bit for bit whatever the other images, their
  /// number, their sizes and the number of threads. Throws std::invalid_argument on another shape
  /// or dtype.
  virtual Activations activations(const torch::Tensor& images) const = 0;

  /// The same of images of several sizes, in their order. Here: a call for each size.
  virtual Activations activations_of(const ImageBatch& images) const;

  /// activations().features: float32 [N, dimensions()].
  torch::Tensor extract(const torch::Tensor& images) const { return activations(images).features; }
};

/// Throws std::invalid_argument unless images are uint8 [N, 3, H, W].
void check_images(const torch::Tensor& images, const char* where);

/// The two halves of an extractor with an input of fixed size: `input` resizes uint8 images
/// [n, 3, H, W] to [n, 3, S, S], `network` computes on that.
struct ExtractorPasses {
  std::function<torch::Tensor(const torch::Tensor&)> input;
  std::function<Activations(const torch::Tensor&)> network;
};

/// Runs the passes on groups of exactly `group` images, moved to `device` (the last group is filled
/// up by repeating its first input), and stacks what comes back on the CPU. On the CPU each group
/// has one thread of its own. That is what makes a row depend on its image alone. Images of one
/// size are resized together, others one by one; the network always runs on whole groups.
Activations in_groups(const ImageBatch& images,
                      int64_t group,
                      const torch::Device& device,
                      const ExtractorPasses& passes);

}  // namespace uvic::metrics
