// Feature networks by the names that commands give them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/torch.h"
#include "metrics/extractor_kinds.h"
#include "metrics/features.h"
#include "metrics/statistics.h"

namespace uvic::app {

using metrics::ExtractorChoice;

/// Throws std::invalid_argument on an option that no such network has, and what the loaders throw.
std::unique_ptr<metrics::FeatureExtractor> open_extractor(const ExtractorChoice& choice,
                                                          torch::Device device);

/// Whether statistics read from `path` can be compared with features of `extractor`. Throws
/// std::invalid_argument where another extractor or number of features made them; returns what
/// makes them doubtful.
std::vector<std::string> check_statistics(const std::string& path,
                                          const metrics::FeatureStatistics& statistics,
                                          const metrics::FeatureExtractor& extractor);

}  // namespace uvic::app
