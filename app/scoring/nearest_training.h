// Does a model generate new images, or those it was trained on? Samples next to their nearest
// training images.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/torch.h"
#include "data/dataset.h"
#include "metrics/features.h"

namespace uvic::app {

/// For each query the `count` nearest rows, nearest first.
struct Nearest {
  torch::Tensor index;     ///< int64 [N, count]
  torch::Tensor distance;  ///< float32 [N, count], Euclidean
};

/// queries [N, D], rows [M, D], float32. Throws std::invalid_argument unless 1 <= count <= M.
Nearest nearest_rows(const torch::Tensor& queries, const torch::Tensor& rows, int64_t count);

constexpr int64_t kMostNearest = 50000;  ///< training images that are compared, at most

/// The training images as the extractor sees them; at most kMostNearest, and at most 512 MiB of
/// features.
class TrainingFeatures {
 public:
  /// `mirrored`: training saw mirror images too. Both references must outlive the object.
  TrainingFeatures(const data::Dataset& training,
                   const metrics::FeatureExtractor& extractor,
                   bool mirrored);

  /// Distances from `count` images, spread evenly over the set, to their nearest training image
  /// (or its mirror image, where training saw those): "images" and "training_images" (how many
  /// of each), "median_distance", "least_distance". With a `sheet`, writes there as PNG the eight
  /// closest images, most suspicious first, a row each: the image, then its four nearest training
  /// images.
  nlohmann::json compare(const data::Dataset& images,
                         int64_t count,
                         const std::filesystem::path& sheet = {}) const;

 private:
  const data::Dataset& training_;
  const metrics::FeatureExtractor& extractor_;
  bool mirrored_;
  std::vector<int64_t> indices_;
  torch::Tensor features_;  // [M, D], of those
};

/// What compare() returned, as earlier versions kept it: "pictures" and "training_pictures"
/// renamed.
nlohmann::json with_current_names(nlohmann::json found);

}  // namespace uvic::app
