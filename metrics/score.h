// Every metric of one set of images against a reference: a row each.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/table.h"
#include "metrics/collect.h"
#include "metrics/features.h"
#include "metrics/kid.h"

namespace uvic::metrics {

/// Parameters of the metrics that have some.
struct MetricOptions {
  KidOptions kid{};
  int64_t is_splits = 10;
};

struct MetricValue {
  std::string name;  ///< "FID (inception-v3/pytorch-fid)", "FD (embedded)", "precision", ...
  double value = 0;
  std::optional<double> std;           ///< by jackknife, over subsets or over splits: `how` says
  std::optional<double> extrapolated;  ///< to infinitely many images, where there are enough
  /// The value without part k of ten, where std is a jackknife: of two sets with the same seeds in
  /// the same order, the error of the difference is the jackknife of the differences.
  std::vector<double> leave_out;
  std::string how;  ///< parameters in words
  bool higher_is_better = false;
};

/// A metric, or several that share their work: which values, what they need, how they are made.
struct MetricKind {
  const char* name;  ///< in --metrics
  const char* help;
  bool in_all;  ///< part of "all" where the extractor suits it
  /// Empty, or why this extractor can't give it.
  std::string (*unsuited)(const FeatureExtractor& extractor);
  CollectOptions of_images, of_reference;  ///< what a pass must keep
  std::vector<MetricValue> (*values)(const FeatureExtractor& extractor,
                                     const Collected& reference,
                                     const Collected& images,
                                     const MetricOptions& options);
};

/// fd (always made, first), sfid, kid, is, pr.
base::Table<MetricKind>& metric_kinds();

/// Metrics chosen by name, in the order of the table.
struct MetricChoice {
  std::vector<const MetricKind*> kinds;
  MetricOptions options{};
};

/// "fd", "fd,kid,pr", "all" (what the extractor can give). Throws std::invalid_argument naming an
/// unknown one, or one that the extractor can't give.
MetricChoice parse_metrics(const std::string& names, const FeatureExtractor& extractor);

/// What a pass over the images must keep for these metrics.
CollectOptions needed_of_images(const MetricChoice& choice);
CollectOptions needed_of_reference(const MetricChoice& choice);

/// The Fréchet distance first. Throws std::invalid_argument if a set lacks what a metric needs:
/// statistics from a file have no features.
std::vector<MetricValue> score(const FeatureExtractor& extractor,
                               const Collected& reference,
                               const Collected& images,
                               const MetricChoice& choice);

}  // namespace uvic::metrics
