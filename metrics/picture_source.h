// Pictures to be scored: whatever open_dataset opens, at their own size, and the folders that `uvic
// sample` writes.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "data/dataset.h"

namespace uvic::metrics {

struct PictureSource {
  std::unique_ptr<data::Dataset> pictures;
  nlohmann::json samples;  ///< samples.json of a folder of samples; null for any other source
};

/// What `source` is, by its content: of .npy and .npz the arrays decide, anything else is for
/// data::open_dataset.
enum class SourceKind {
  kPictures,  ///< also an array of pictures, uint8 [N, H, W, 3] as ADM's samples are, or [N, 3, H,
              ///< W]
  kStatistics,  ///< .npz with mu and sigma
  kFeatures,    ///< .npy or .npz with one floating array [N, D]
};
SourceKind source_kind(const std::string& source);

/// The array of features of a kFeatures source, float32 [N, D].
torch::Tensor read_features(const std::string& source);

/// Opens `source` at options.image_size px, or at its own size where that is 0: the shorter side of
/// its first picture. Of a folder with a samples.json only the pictures named by seed count
/// (000123.png), not the grid beside them. Throws what data::open_dataset throws.
PictureSource open_pictures(const std::string& source, data::DatasetOptions options);

/// The shorter side of the first picture of a folder, archive or array, px; 32 for CIFAR-10 and the
/// procedural set.
int64_t native_image_size(const std::string& source);

}  // namespace uvic::metrics
