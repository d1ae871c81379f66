// Sources of what is scored: images, or statistics and features made earlier.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/torch.h"
#include "data/dataset.h"
#include "metrics/array_source.h"
#include "metrics/collect.h"

namespace uvic::metrics {

/// What `source` is, by its content: of .npy and .npz the arrays decide (recognise_arrays),
/// anything else is for data::open_dataset.
enum class SourceKind {
  kImages,      ///< also an array of images
  kStatistics,  ///< a mean and a covariance, alone or with the images or features that they are of
  kFeatures,    ///< a floating array [N, D]
};
SourceKind source_kind(const std::string& source);

/// The array of features of a file, float32 [N, D], and what write_features keeps next to it.
/// Nothing is defined where a file holds no features.
Activations read_features(const std::string& source);

/// A .npz that is a source of every metric: statistics (mu, sigma, count, provenance), so that
/// other tools read it too, and what each image gave: features, and spatial and logits where they
/// were collected. Read as kStatistics.
void write_features(const std::filesystem::path& path,
                    const Collected& collected,
                    const std::string& provenance);

/// Images to be scored, and what is known of them.
struct ImageSource {
  std::unique_ptr<data::Dataset> images;
  nlohmann::json samples;  ///< samples.json of a folder of samples; null for any other source
  bool own_sizes = false;  ///< images are to be read by read_whole, each at its own size
};

/// Opens `source`; with options.image_size > 0 its read() brings images to that size, as training
/// does. With 0 images keep their own size (own_sizes), which read_whole() gives; those that are
/// made on the fly are made at `made_size`. Of a folder with a samples.json only the images named
/// by seed count (000123.png), not the grid next to them. Throws what data::open_dataset throws.
ImageSource open_images(const std::string& source,
                        data::DatasetOptions options,
                        int64_t made_size = 32);

/// The own sizes of `count` images spread over a set, or of all where there are fewer, from their
/// headers. Files that can't be read are left out.
SizeCounts survey_sizes(const data::Dataset& images, int64_t count);

}  // namespace uvic::metrics
