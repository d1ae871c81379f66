// Networks that turn pictures into feature vectors, chosen by name.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <string>

namespace uvic::metrics {

/// A named, fixed map from pictures to vectors.
class FeatureExtractor {
 public:
  virtual ~FeatureExtractor() = default;
  virtual std::string name() const = 0;         ///< as reports print it: "embedded", "inception-v3/pytorch-fid", ...
  virtual std::string distance_name() const = 0;  ///< "FID" for the Inception protocols, "FD" for every other
  virtual std::string weights_sha256() const = 0;
  virtual std::string resize() const = 0;       ///< how pictures are brought to the network's size
  virtual int64_t dimensions() const = 0;

  /// images uint8 [N, 3, H, W] -> features float32 [N, dimensions()]. Independent of the other pictures of the batch.
  virtual torch::Tensor extract(const torch::Tensor& images) const = 0;
};

}  // namespace uvic::metrics
