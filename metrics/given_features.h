// A stand-in for the network that made features or statistics which are given as files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "metrics/features.h"

namespace uvic::metrics {

/// What is known of features without the network that made them.
struct GivenFeatures {
  std::string name = "given features";  ///< the extractor's name where the files say it
  std::string sha256, resize = "unknown", precision = "unknown";
  int64_t dimensions = 0, spatial_dimensions = 0, num_classes = 0;
};

/// An extractor by name and sizes alone: activations() throws std::logic_error. Its distance is
/// "FID" where the name is that of an Inception protocol, else "FD".
std::unique_ptr<FeatureExtractor> make_given_features(const GivenFeatures& given);

}  // namespace uvic::metrics
