// Sets of latents: the moments that an autoencoder gave for images, with labels or context
// features. Made by `uvic encode` or by the scripts of the official code.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/torch.h"
#include "data/dataset.h"

namespace uvic::data {

/// What all sets of latents share. image_size() is the side of a latent.
class LatentDataset : public Dataset {
 public:
  int64_t image_size() const override { return format().size; }
  const std::vector<std::string>& class_names() const override;
  /// Throws std::runtime_error: there are no pixels.
  int64_t read(int64_t index, uint8_t* planes) const override;

 protected:
  virtual std::string name() const = 0;  ///< the path, for messages
};

/// float16 or float32 numbers, copied or widened on the calling thread alone.
void copy_as_float(const torch::Tensor& from, float* to);

/// For data_sources(): null where `source` is nothing of that kind.
std::unique_ptr<Dataset> open_latent_store(const std::string& source,
                                           const DatasetOptions& options);
/// The official code's folders (feature_folders.h).
std::unique_ptr<Dataset> open_feature_folder(const std::string& source,
                                             const DatasetOptions& options);

}  // namespace uvic::data
