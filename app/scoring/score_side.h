// One side of a score: the images, or what was made of them earlier, and where it came from.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/scoring/fid_options.h"
#include "metrics/collect.h"
#include "metrics/features.h"

namespace uvic::app {

/// A set of images as the metrics see it, and where it came from.
struct Side {
  metrics::Collected collected;
  nlohmann::json provenance;
  int64_t image_size = 0;     ///< px, of squares of one size as the extractor gets them; else 0
  double images_per_sec = 0;  ///< reading, resizing and the network together; 0: nothing was read
};

/// What a side is made from.
struct SideRequest {
  std::string source;
  data::DatasetOptions dataset;  ///< image_size 0: each image at its own size
  int64_t count = 0;             ///< images, spread evenly over the source; 0: all
  int64_t batch_size = 256;
  int64_t made_size = 32;       ///< px, of images that are made on the fly
  std::string what = "images";  ///< in progress and warnings: "images", "reference"
  metrics::CollectOptions keep;
  base::ProcessGroup* group = nullptr;  ///< shares the images; all processes have the result
};

/// Whether a source is a file of statistics or features that needs no network: not one of images.
bool is_stored(const std::string& source);

/// The extractor that is known from files alone: for stored sources (at least one not empty).
/// Throws std::invalid_argument where they were made by different extractors or have other widths.
std::unique_ptr<metrics::FeatureExtractor> extractor_of_files(const std::string& reference,
                                                              const std::string& images);

/// Reads a side. Of a file of statistics the means and covariances are taken; features that `keep`
/// asks for are taken from it too, or computed from the images that it holds. Warnings are added.
/// Throws what the readers throw, and std::invalid_argument for fewer than two images.
Side open_side(const SideRequest& request,
               const metrics::FeatureExtractor& extractor,
               std::vector<std::string>& warnings);

/// Images of options.run, generated while they are scored.
Side side_of_run(const FidOptions& options,
                 const metrics::FeatureExtractor& extractor,
                 const metrics::CollectOptions& keep,
                 base::ProcessGroup* group);

/// What makes a distance something else than the distance of the images' content.
void warn_of_few(const Side& side,
                 const char* what,
                 const metrics::FeatureExtractor& extractor,
                 std::vector<std::string>& warnings);
void warn_of_mismatch(const Side& images,
                      const Side& reference,
                      std::vector<std::string>& warnings);

}  // namespace uvic::app
