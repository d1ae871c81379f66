#include "metrics/collect.h"

#include <fmt/format.h>

#include <stdexcept>
#include <string>

#include "metrics/blocks.h"

namespace uvic::metrics {
namespace {

constexpr int64_t kBlocks = 10;

void require(bool present, const FeatureExtractor& extractor, const char* what) {
  if (!present)
    throw std::invalid_argument(fmt::format(
        "{} gives no {}; use the Inception network with 2048 features", extractor.name(), what));
}

/// Statistics of all rows, and, with error bars, of each part of them. The whole is summed by
/// itself rather than merged from the parts: a set has the same statistics to the last bit with
/// error bars and without.
class Sums {
 public:
  Sums(int64_t dimensions, bool in_parts) : whole_(dimensions) {
    for (int64_t k = 0; in_parts && k < kBlocks; ++k) parts_.emplace_back(dimensions);
  }

  void add(const torch::Tensor& rows, int64_t first) {
    whole_.add(rows);
    if (parts_.empty()) return;
    std::vector<std::vector<int64_t>> chosen(kBlocks);
    for (int64_t i = 0; i < rows.size(0); ++i) chosen[part_of(first + i, kBlocks)].push_back(i);
    for (int64_t k = 0; k < kBlocks; ++k)
      if (!chosen[k].empty()) parts_[k].add(rows.index_select(0, torch::tensor(chosen[k])));
  }

  FeatureStatistics whole() const { return whole_.finish(); }

  void put_into(Collected& result) const {
    result.statistics = whole();
    if (!parts_.empty() && result.count >= 2 * kBlocks)
      for (int64_t k = 0; k < kBlocks; ++k) result.without_block.push_back(without(k));
  }

 private:
  FeatureStatistics without(int64_t block) const {
    StatisticsAccumulator sum(whole_.dimensions());
    for (int64_t k = 0; k < kBlocks; ++k)
      if (k != block) sum.merge(parts_[k]);
    return sum.finish();
  }

  StatisticsAccumulator whole_;
  std::vector<StatisticsAccumulator> parts_;
};

}  // namespace

Collected collect(const FeatureExtractor& extractor,
                  const BatchStream& stream,
                  const CollectOptions& options,
                  const std::function<void(int64_t)>& progress) {
  if (options.spatial) require(extractor.spatial_dimensions() > 0, extractor, "spatial features");
  if (options.logits) require(extractor.num_classes() > 0, extractor, "logits");
  Collected result;
  Sums sums(extractor.dimensions(), options.error_bars);
  Sums spatial(options.spatial ? extractor.spatial_dimensions() : 0, false);
  std::vector<torch::Tensor> features, spatial_rows, logits;
  for (auto images = stream(); images.defined(); images = stream()) {
    if (images.size() == 0) continue;
    count_sizes(images, result.sizes);
    const auto activations = extractor.activations_of(images);
    sums.add(activations.features, result.count);
    if (options.spatial) spatial.add(activations.spatial, result.count);
    if (options.spatial && options.spatial_rows) spatial_rows.push_back(activations.spatial);
    if (options.features) features.push_back(activations.features);
    if (options.logits) logits.push_back(activations.logits);
    result.count += images.size();
    if (progress) progress(result.count);
  }
  sums.put_into(result);
  if (options.spatial) result.spatial = spatial.whole();
  if (!spatial_rows.empty()) result.spatial_rows = torch::cat(spatial_rows);
  if (options.features) result.features = torch::cat(features);
  if (options.logits) result.logits = torch::cat(logits);
  return result;
}

Collected collect_activations(const Activations& activations, const CollectOptions& options) {
  const auto& [features, spatial, logits] = activations;
  const auto check = [&](bool wanted, const torch::Tensor& rows, const char* what) {
    if (wanted && !rows.defined())
      throw std::invalid_argument(fmt::format("an array of features without {}", what));
    if (wanted && rows.size(0) != features.size(0))
      throw std::invalid_argument(
          fmt::format("features of {} images, {} of {}", features.size(0), what, rows.size(0)));
  };
  check(true, features, "features");
  check(options.spatial, spatial, "spatial features");
  check(options.logits, logits, "logits");
  Collected result;
  result.count = features.size(0);
  Sums sums(features.size(1), options.error_bars);
  sums.add(features, 0);
  sums.put_into(result);
  if (options.spatial) {
    Sums places(spatial.size(1), false);
    places.add(spatial, 0);
    result.spatial = places.whole();
  }
  if (options.spatial && options.spatial_rows) result.spatial_rows = spatial;
  if (options.features) result.features = features;
  if (options.logits) result.logits = logits;
  return result;
}

void require_collected(const Collected& set,
                       const CollectOptions& needed,
                       const std::string& what) {
  const auto check = [&](bool wanted, bool there, const char* part, const char* metrics) {
    if (wanted && !there)
      throw std::invalid_argument(fmt::format(
          "{}: no {}, which {} needs; give images, not statistics", what, part, metrics));
  };
  check(needed.features, set.features.defined(), "feature vectors", "kid or pr");
  check(needed.spatial, set.spatial.has_value(), "spatial statistics", "sfid");
  check(needed.logits, set.logits.defined(), "logits", "is");
}

}  // namespace uvic::metrics
