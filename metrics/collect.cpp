#include "metrics/collect.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/process.h"
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

void check_wanted(const FeatureExtractor& extractor, const CollectOptions& options) {
  if (options.spatial) require(extractor.spatial_dimensions() > 0, extractor, "spatial features");
  if (options.logits) require(extractor.num_classes() > 0, extractor, "logits");
}

/// The rows of images in their order, and what is kept of them.
class Gathered {
 public:
  Gathered(const FeatureExtractor& extractor, const CollectOptions& options)
      : options_(options),
        sums_(extractor.dimensions(), options.error_bars),
        spatial_(options.spatial ? extractor.spatial_dimensions() : 0, false) {}

  void add(const Activations& rows) {
    sums_.add(rows.features, result_.count);
    if (options_.spatial) spatial_.add(rows.spatial, result_.count);
    if (options_.spatial && options_.spatial_rows) spatial_rows_.push_back(rows.spatial);
    if (options_.features) features_.push_back(rows.features);
    if (options_.logits) logits_.push_back(rows.logits);
    result_.count += rows.features.size(0);
  }

  int64_t count() const { return result_.count; }

  Collected finish() {
    sums_.put_into(result_);
    if (options_.spatial) result_.spatial = spatial_.whole();
    if (!spatial_rows_.empty()) result_.spatial_rows = torch::cat(spatial_rows_);
    if (options_.features) result_.features = torch::cat(features_);
    if (options_.logits) result_.logits = torch::cat(logits_);
    return std::move(result_);
  }

 private:
  const CollectOptions options_;
  Sums sums_, spatial_;
  Collected result_;
  std::vector<torch::Tensor> features_, spatial_rows_, logits_;
};

/// What is wanted of a process's block, with 0 rows where it has no image.
Activations activations_of_block(const FeatureExtractor& extractor,
                                 const SharedImages& images,
                                 int64_t begin,
                                 int64_t end,
                                 const CollectOptions& options,
                                 SizeCounts& sizes) {
  std::vector<torch::Tensor> features = {torch::empty({0, extractor.dimensions()})}, spatial,
                             logits;
  if (options.spatial) spatial.push_back(torch::empty({0, extractor.spatial_dimensions()}));
  if (options.logits) logits.push_back(torch::empty({0, extractor.num_classes()}));
  if (begin < end) {
    const auto stream = images.open(begin, end);
    for (auto batch = stream(); batch.defined(); batch = stream()) {
      if (batch.size() == 0) continue;
      count_sizes(batch, sizes);
      const auto rows = extractor.activations_of(batch);
      features.push_back(rows.features);
      if (options.spatial) spatial.push_back(rows.spatial);
      if (options.logits) logits.push_back(rows.logits);
    }
  }
  Activations all;
  all.features = torch::cat(features);
  if (options.spatial) all.spatial = torch::cat(spatial);
  if (options.logits) all.logits = torch::cat(logits);
  return all;
}

Activations gather_rows(base::ProcessGroup& group, const Activations& own) {
  Activations all;
  all.features = group.gather_rows(own.features);
  if (own.spatial.defined()) all.spatial = group.gather_rows(own.spatial);
  if (own.logits.defined()) all.logits = group.gather_rows(own.logits);
  return all;
}

SizeCounts sizes_of_all(base::ProcessGroup& group, const SizeCounts& own) {
  std::vector<int64_t> numbers;
  for (const auto& [size, count] : own)
    numbers.insert(numbers.end(), {size.first, size.second, count});
  const auto rows =
      torch::tensor(numbers, torch::kInt64).view({static_cast<int64_t>(own.size()), 3});
  const auto all = group.gather_rows(rows);
  SizeCounts sizes;
  for (int64_t i = 0; i < all.size(0); ++i)
    sizes[{all[i][0].item<int64_t>(), all[i][1].item<int64_t>()}] += all[i][2].item<int64_t>();
  return sizes;
}

}  // namespace

Collected collect(const FeatureExtractor& extractor,
                  const BatchStream& stream,
                  const CollectOptions& options,
                  const std::function<void(int64_t)>& progress) {
  check_wanted(extractor, options);
  Gathered gathered(extractor, options);
  SizeCounts sizes;
  for (auto images = stream(); images.defined(); images = stream()) {
    if (images.size() == 0) continue;
    count_sizes(images, sizes);
    gathered.add(extractor.activations_of(images));
    if (progress) progress(gathered.count());
  }
  auto result = gathered.finish();
  result.sizes = std::move(sizes);
  return result;
}

Collected collect_shared(base::ProcessGroup& group,
                         const FeatureExtractor& extractor,
                         const SharedImages& images,
                         const CollectOptions& options,
                         const std::function<void(int64_t)>& progress) {
  check_wanted(extractor, options);
  Gathered gathered(extractor, options);
  SizeCounts sizes;
  const int64_t round = images.block * group.size();
  for (int64_t first = 0; first < images.count; first += round) {
    const int64_t begin = std::min(images.count, first + group.rank() * images.block);
    const int64_t end = std::min(images.count, begin + images.block);
    Activations block;
    try {
      block = activations_of_block(extractor, images, begin, end, options, sizes);
    } catch (const base::StopRequested&) {
      // Thrown again by all.
    }
    group.throw_if_stopped();
    gathered.add(gather_rows(group, block));
    if (progress) progress(gathered.count());
  }
  auto result = gathered.finish();
  result.sizes = sizes_of_all(group, sizes);
  return result;
}

Collected collect_activations(const Activations& activations, const CollectOptions& options) {
  const auto& [features, spatial, logits] = activations;
  const auto check = [&](bool wanted, const torch::Tensor& rows, const char* what) {
    const auto& all = activations.features;
    if (wanted && !rows.defined())
      throw std::invalid_argument(fmt::format("an array of features without {}", what));
    if (wanted && rows.size(0) != all.size(0))
      throw std::invalid_argument(
          fmt::format("features of {} images, {} of {}", all.size(0), what, rows.size(0)));
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
