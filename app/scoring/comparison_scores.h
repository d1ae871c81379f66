// The scores of one comparison: all against one reference, with one extractor, each kept with what
// it was made from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "app/runs/run_config.h"
#include "app/scoring/score_images.h"
#include "data/dataset.h"

namespace uvic::app {

struct ComparisonScoring {
  std::string metrics = "fd";  ///< as in uvic fid
  int64_t num_ref = 0;         ///< reference images; 0: all
  std::string held_out;        ///< real images kept out of training, or empty
};

class ComparisonScores {
 public:
  /// Makes the statistics of the reference, unless `folder` has them. `training` says what the
  /// reference is, and how scores are made. Throws what run_fid throws.
  ComparisonScores(ComparisonScoring options,
                   const RunConfig& training,
                   std::filesystem::path folder);

  /// The training with its scores along the way against the statistics made here: features of the
  /// reference are computed once, not by every run.
  RunConfig during(RunConfig training) const;

  nlohmann::json of_samples(const std::filesystem::path& samples,
                            const std::filesystem::path& file) const;

  /// Real images that no run saw, as many of them as there are samples, if there are.
  nlohmann::json of_held_out(const data::Dataset& held_out) const;

  /// Independent uniform bytes: what is as far from an image as can be.
  nlohmann::json of_noise() const;

 private:
  FidOptions fid_options(const std::string& images, const std::string& metrics) const;
  void prepare_reference();
  bool has_reference() const;
  void make_noise_statistics(const std::filesystem::path& file) const;

  ComparisonScoring options_;
  RunConfig training_;
  std::filesystem::path folder_, statistics_;
  std::string source_;
  nlohmann::json reference_key_;
};

}  // namespace uvic::app
