// Pictures to be scored: whatever open_dataset opens, at their own size, and the folders that `uvic
// sample` writes.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "data/dataset.h"
#include "metrics/collect.h"

namespace uvic::metrics {

struct PictureSource {
  std::unique_ptr<data::Dataset> pictures;
  nlohmann::json samples;   ///< samples.json of a folder of samples; null for any other source
  int64_t native_size = 0;  ///< native_image_size; 0 for a source that has the size it is asked for
};

/// What `source` is, by its content: of .npy and .npz the arrays decide, anything else is for
/// data::open_dataset.
enum class SourceKind {
  kPictures,  ///< also an array of pictures, uint8 [N, H, W, 3] as ADM's samples are, or [N, 3, H,
              ///< W]
  kStatistics,  ///< .npz with mu and sigma
  kFeatures,    ///< .npy or .npz with a floating array [N, D]
};
SourceKind source_kind(const std::string& source);

/// The array of features of a kFeatures source, float32 [N, D], and what a file of write_features
/// holds beside it.
Activations read_features(const std::string& source);

/// A .npz that is a source of every metric: statistics (mu, sigma, count, provenance), so that
/// other tools read it too, and what each picture gave: features, and spatial and logits where they
/// were collected. Read as kStatistics.
void write_features(const std::filesystem::path& path,
                    const Collected& collected,
                    const std::string& provenance);

/// What write_features wrote beside the statistics; nothing defined where a file holds none.
Activations read_kept_features(const std::string& path);

/// Opens `source` at options.image_size px, or at its own size where that is 0: the shorter side of
/// its first picture. Of a folder with a samples.json only the pictures named by seed count
/// (000123.png), not the grid beside them. Throws what data::open_dataset throws.
PictureSource open_pictures(const std::string& source, data::DatasetOptions options);

/// The shorter side of the first picture of a folder, archive or array, px; 32 for CIFAR-10 and the
/// procedural set.
int64_t native_image_size(const std::string& source);

}  // namespace uvic::metrics
