// Every metric of one set of pictures against a reference, by name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "metrics/collect.h"
#include "metrics/features.h"
#include "metrics/kid.h"

namespace uvic::metrics {

/// Which metrics are wanted beside the Fréchet distance, which always is.
struct MetricChoice {
  bool sfid = false;
  bool kid = false;
  bool inception_score = false;
  bool precision_recall = false;
  KidOptions kid_options{};
  int64_t is_splits = 10;
};

/// "fd", "fd,kid,pr", "all" (what the extractor can give), of: fd, sfid, kid, is, pr.
/// Throws std::invalid_argument naming an unknown one.
MetricChoice parse_metrics(const std::string& names, const FeatureExtractor& extractor);

/// What a pass over the pictures must keep for these metrics.
CollectOptions needed_of_pictures(const MetricChoice& choice);
CollectOptions needed_of_reference(const MetricChoice& choice);

struct MetricValue {
  std::string name;  ///< "FID (inception-v3/pytorch-fid)", "FD (embedded)", "precision", ...
  double value = 0;
  std::optional<double> std;           ///< by jackknife, over subsets or over splits: `how` tells
  std::optional<double> extrapolated;  ///< to endless pictures; where there are enough to tell
  std::string how;                     ///< parameters in words
};

/// The Fréchet distance first. Throws std::invalid_argument if a set lacks what a metric needs:
/// statistics from a file have no features.
std::vector<MetricValue> score(const FeatureExtractor& extractor,
                               const Collected& reference,
                               const Collected& pictures,
                               const MetricChoice& choice);

}  // namespace uvic::metrics
