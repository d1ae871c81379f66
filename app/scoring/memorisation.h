// Whether networks generate what they were trained on: the nearest training images of samples.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/runs/run_config.h"
#include "app/scoring/nearest_training.h"
#include "data/dataset.h"
#include "metrics/features.h"

namespace uvic::app {

constexpr int64_t kNearestQueries = 1000;  ///< samples of a folder that are looked for, at most

/// Features of the training images are made only where an answer is missing.
class Memorisation {
 public:
  /// `held_out` may be null, or outlives this object.
  Memorisation(const RunConfig& training,
               const data::Dataset* held_out,
               std::filesystem::path folder);

  /// What TrainingFeatures::compare finds for the samples of a folder, and "sheet", the image file
  /// that shows it. Kept in the folder as NAME.json and NAME.png.
  nlohmann::json of(const std::filesystem::path& samples, const std::string& name);

 private:
  void load();

  RunConfig training_;
  const data::Dataset* held_out_;
  std::filesystem::path folder_;
  std::unique_ptr<data::Dataset> images_;
  std::unique_ptr<metrics::FeatureExtractor> extractor_;
  std::unique_ptr<TrainingFeatures> features_;
};

}  // namespace uvic::app
