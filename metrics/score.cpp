#include "metrics/score.h"

#include <fmt/format.h>

#include <sstream>
#include <stdexcept>

#include "base/parallel.h"
#include "metrics/frechet.h"
#include "metrics/inception_score.h"
#include "metrics/kid.h"
#include "metrics/precision_recall.h"

namespace uvic::metrics {
namespace {

constexpr int64_t kPrecisionNeighbours = 3, kDensityNeighbours = 5;

MetricValue frechet(const FeatureExtractor& extractor,
                    const Collected& reference,
                    const Collected& pictures) {
  const FrechetReference to_reference(reference.statistics);
  MetricValue result;
  result.name = fmt::format("{} ({})", extractor.distance_name(), extractor.name());
  result.value = to_reference.distance(pictures.statistics);
  result.how = fmt::format("Frechet distance of {} features", extractor.dimensions());
  if (pictures.without_block.empty()) return result;
  std::vector<double> without(pictures.without_block.size());
  base::side_by_side(static_cast<int64_t>(without.size()), at::get_num_threads(), [&](int64_t k) {
    without[k] = to_reference.distance(pictures.without_block[k]);
  });
  const auto estimate = jackknife(result.value, without);
  result.std = estimate.std;
  // With fewer pictures than that the covariance is close to singular and the bias no longer goes
  // as 1 / N.
  if (pictures.count >= 2 * extractor.dimensions()) result.extrapolated = estimate.extrapolated;
  result.how += ", spread by jackknife over tenths";
  return result;
}

}  // namespace

MetricChoice parse_metrics(const std::string& names, const FeatureExtractor& extractor) {
  MetricChoice choice;
  std::stringstream list(names);
  for (std::string name; std::getline(list, name, ',');) {
    const bool all = name == "all";
    if (name != "fd" && name != "sfid" && name != "kid" && name != "is" && name != "pr" && !all)
      throw std::invalid_argument(
          fmt::format("unknown metric {}; known: fd, sfid, kid, is, pr, all", name));
    choice.kid |= all || name == "kid";
    choice.precision_recall |= all || name == "pr";
    choice.sfid |= name == "sfid" || (all && extractor.spatial_dimensions() > 0);
    choice.inception_score |=
        name == "is" || (all && extractor.distance_name() == "FID" && extractor.num_classes() > 0);
  }
  if (choice.inception_score && extractor.distance_name() != "FID")
    throw std::invalid_argument(fmt::format(
        "the Inception Score is defined by Inception's classes; {} has others", extractor.name()));
  return choice;
}

CollectOptions needed_of_pictures(const MetricChoice& choice) {
  auto options = needed_of_reference(choice);
  options.logits = choice.inception_score;
  options.error_bars = true;
  return options;
}

CollectOptions needed_of_reference(const MetricChoice& choice) {
  CollectOptions options;
  options.features = choice.kid || choice.precision_recall;
  options.spatial = choice.sfid;
  return options;
}

std::vector<MetricValue> score(const FeatureExtractor& extractor,
                               const Collected& reference,
                               const Collected& pictures,
                               const MetricChoice& choice) {
  require_collected(reference, needed_of_reference(choice), "the reference");
  require_collected(pictures, needed_of_pictures(choice), "the pictures");
  const auto with_extractor = [&](const char* name) {
    return fmt::format("{} ({})", name, extractor.name());
  };
  std::vector<MetricValue> values = {frechet(extractor, reference, pictures)};
  if (choice.sfid)
    values.push_back(
        {with_extractor("sFID"),
         frechet_distance(*pictures.spatial, *reference.spatial),
         {},
         {},
         fmt::format("Frechet distance of {} spatial features", extractor.spatial_dimensions())});
  if (choice.kid) {
    const auto kid = kernel_distance(pictures.features, reference.features, choice.kid_options);
    // Binkowski's name is for Inception's features; the same of others is a kernel distance.
    values.push_back({with_extractor(extractor.distance_name() == "FID" ? "KID" : "KD"),
                      kid.mean,
                      kid.std,
                      {},
                      fmt::format("mean and spread over {} subset{} of {}",
                                  kid.subsets,
                                  kid.subsets == 1 ? "" : "s",
                                  kid.subset_size)});
  }
  if (choice.inception_score) {
    const auto is = inception_score(pictures.logits, choice.is_splits);
    values.push_back({"IS",
                      is.mean,
                      is.std,
                      {},
                      fmt::format("mean and spread over {} splits", choice.is_splits)});
  }
  if (choice.precision_recall) {
    const auto near = precision_recall(reference.features, pictures.features, kPrecisionNeighbours);
    const auto wide = precision_recall(reference.features, pictures.features, kDensityNeighbours);
    const auto how = [&](int64_t k) {
      return fmt::format("{} nearest neighbours, features of {}", k, extractor.name());
    };
    values.push_back({"precision", near.precision, {}, {}, how(kPrecisionNeighbours)});
    values.push_back({"recall", near.recall, {}, {}, how(kPrecisionNeighbours)});
    values.push_back({"density", wide.density, {}, {}, how(kDensityNeighbours)});
    values.push_back({"coverage", wide.coverage, {}, {}, how(kDensityNeighbours)});
  }
  return values;
}

}  // namespace uvic::metrics
