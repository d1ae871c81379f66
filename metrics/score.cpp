#include "metrics/score.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "base/list_text.h"
#include "base/parallel.h"
#include "metrics/frechet.h"
#include "metrics/inception_score.h"
#include "metrics/kid.h"
#include "metrics/precision_recall.h"

namespace uvic::metrics {
namespace {

constexpr int64_t kPrecisionNeighbours = 3, kDensityNeighbours = 5;

std::string with_extractor(const char* name, const FeatureExtractor& extractor) {
  return fmt::format("{} ({})", name, extractor.name());
}

std::vector<MetricValue> frechet_values(const FeatureExtractor& extractor,
                                        const Collected& reference,
                                        const Collected& images,
                                        const MetricOptions&) {
  const FrechetReference to_reference(reference.statistics);
  MetricValue result;
  result.name = with_extractor(extractor.distance_name().c_str(), extractor);
  result.value = to_reference.distance(images.statistics);
  result.how = fmt::format("Frechet distance of {} features", extractor.dimensions());
  if (images.without_block.empty()) return {result};
  std::vector<double> without(images.without_block.size());
  base::side_by_side(static_cast<int64_t>(without.size()), at::get_num_threads(), [&](int64_t k) {
    without[static_cast<size_t>(k)] =
        to_reference.distance(images.without_block[static_cast<size_t>(k)]);
  });
  const auto estimate = jackknife(result.value, without);
  result.std = estimate.std;
  result.leave_out = std::move(without);
  // With fewer images the covariance is close to singular and the bias no longer goes as 1 / N.
  if (images.count >= 2 * extractor.dimensions()) result.extrapolated = estimate.extrapolated;
  result.how += ", standard error by jackknife over tenths of the images; the reference is exact";
  return {result};
}

std::vector<MetricValue> spatial_values(const FeatureExtractor& extractor,
                                        const Collected& reference,
                                        const Collected& images,
                                        const MetricOptions&) {
  MetricValue result;
  result.name = with_extractor("sFID", extractor);
  result.value = frechet_distance(*images.spatial, *reference.spatial);
  result.how =
      fmt::format("Frechet distance of {} spatial features", extractor.spatial_dimensions());
  return {result};
}

std::vector<MetricValue> kernel_values(const FeatureExtractor& extractor,
                                       const Collected& reference,
                                       const Collected& images,
                                       const MetricOptions& options) {
  const auto kid = kernel_distance(images.features, reference.features, options.kid);
  MetricValue result;
  // Binkowski's name is for Inception's features; the same of others is a kernel distance.
  result.name = with_extractor(extractor.distance_name() == "FID" ? "KID" : "KD", extractor);
  result.value = kid.mean;
  if (kid.subsets > 1) result.std = kid.std;  // a single subset has no standard deviation
  result.how = kid.subsets == 1 ? fmt::format("one subset of {}", kid.subset_size)
                                : fmt::format("mean and standard deviation over {} subsets of {}",
                                              kid.subsets,
                                              kid.subset_size);
  return {result};
}

std::vector<MetricValue> inception_values(const FeatureExtractor&,
                                          const Collected&,
                                          const Collected& images,
                                          const MetricOptions& options) {
  const auto is = inception_score(images.logits, options.is_splits);
  MetricValue result;
  result.name = "IS";
  result.value = is.mean;
  if (options.is_splits > 1) result.std = is.std;
  result.how = options.is_splits == 1
                   ? "all images together"
                   : fmt::format("mean and standard deviation over {} splits", options.is_splits);
  result.higher_is_better = true;
  return {result};
}

std::vector<MetricValue> neighbour_values(const FeatureExtractor& extractor,
                                          const Collected& reference,
                                          const Collected& images,
                                          const MetricOptions&) {
  const auto near = precision_recall(reference.features, images.features, kPrecisionNeighbours);
  const auto wide = precision_recall(reference.features, images.features, kDensityNeighbours);
  const auto value = [&](const char* name, double value, int64_t neighbours) {
    MetricValue result;
    result.name = name;
    result.value = value;
    result.how = fmt::format("{} nearest neighbours, features of {}", neighbours, extractor.name());
    result.higher_is_better = true;
    return result;
  };
  return {value("precision", near.precision, kPrecisionNeighbours),
          value("recall", near.recall, kPrecisionNeighbours),
          value("density", wide.density, kDensityNeighbours),
          value("coverage", wide.coverage, kDensityNeighbours)};
}

CollectOptions keeping(bool features, bool spatial, bool logits) {
  CollectOptions options;
  options.features = features;
  options.spatial = spatial;
  options.logits = logits;
  return options;
}

CollectOptions both(CollectOptions a, const CollectOptions& b) {
  a.features |= b.features;
  a.spatial |= b.spatial;
  a.logits |= b.logits;
  return a;
}

}  // namespace

base::Table<MetricKind>& metric_kinds() {
  constexpr auto suits_all = [](const FeatureExtractor&) { return std::string(); };
  static base::Table<MetricKind> kinds(
      "metrics",
      {
          {"fd",
           "Frechet distance (FID with Inception)",
           /*in_all=*/true,
           suits_all,
           keeping(false, false, false),
           keeping(false, false, false),
           frechet_values},
          {"sfid",
           "Frechet distance of spatial features",
           /*in_all=*/true,
           [](const FeatureExtractor& extractor) {
             return extractor.spatial_dimensions() > 0
                        ? std::string()
                        : fmt::format("{} has no spatial features", extractor.name());
           },
           keeping(false, true, false),
           keeping(false, true, false),
           spatial_values},
          {"kid",
           "kernel distance (KID with Inception)",
           /*in_all=*/true,
           suits_all,
           keeping(true, false, false),
           keeping(true, false, false),
           kernel_values},
          {"is",
           "Inception Score",
           /*in_all=*/true,
           [](const FeatureExtractor& extractor) {
             return extractor.distance_name() == "FID" && extractor.num_classes() > 0
                        ? std::string()
                        : fmt::format(
                              "the Inception Score is defined by Inception's classes; {} has "
                              "others",
                              extractor.name());
           },
           keeping(false, false, true),
           keeping(false, false, false),
           inception_values},
          {"pr",
           "precision, recall, density, coverage",
           /*in_all=*/true,
           suits_all,
           keeping(true, false, false),
           keeping(true, false, false),
           neighbour_values},
      });
  return kinds;
}

MetricChoice parse_metrics(const std::string& names, const FeatureExtractor& extractor) {
  std::vector<std::string> asked;
  for (const auto& name : base::list_items(names)) {
    if (name != "all") {
      const auto why = metric_kinds().at(name).unsuited(extractor);
      if (!why.empty()) throw std::invalid_argument(fmt::format("--metrics {}: {}", name, why));
    }
    asked.push_back(name);
  }
  const auto has = [&](const char* name) {
    return std::find(asked.begin(), asked.end(), name) != asked.end();
  };
  MetricChoice choice;
  for (const auto& kind : metric_kinds())
    if (&kind == &*metric_kinds().begin() || has(kind.name) ||
        (has("all") && kind.in_all && kind.unsuited(extractor).empty()))
      choice.kinds.push_back(&kind);
  return choice;
}

CollectOptions needed_of_images(const MetricChoice& choice) {
  CollectOptions options;
  for (const auto* kind : choice.kinds) options = both(options, kind->of_images);
  options.error_bars = true;
  return options;
}

CollectOptions needed_of_reference(const MetricChoice& choice) {
  CollectOptions options;
  for (const auto* kind : choice.kinds) options = both(options, kind->of_reference);
  return options;
}

std::vector<MetricValue> score(const FeatureExtractor& extractor,
                               const Collected& reference,
                               const Collected& images,
                               const MetricChoice& choice) {
  require_collected(reference, needed_of_reference(choice), "the reference");
  require_collected(images, needed_of_images(choice), "the images");
  std::vector<MetricValue> all;
  for (const auto* kind : choice.kinds)
    for (auto& value : kind->values(extractor, reference, images, choice.options))
      all.push_back(std::move(value));
  return all;
}

}  // namespace uvic::metrics
