#include "app/scoring/score_side.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>
#include <stdexcept>
#include <utility>

#include "app/sampling/image_stream.h"
#include "app/sampling/prompt_list.h"
#include "app/sampling/sample_record.h"
#include "app/sampling/seed_list.h"
#include "app/scoring/collect_parts.h"
#include "app/scoring/extractors.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/progress_line.h"
#include "base/tensor_text.h"
#include "data/formats/json.h"
#include "data/formats/json_fields.h"
#include "metrics/given_features.h"
#include "metrics/image_source.h"
#include "metrics/image_stream.h"
#include "metrics/statistics.h"

namespace uvic::app {
namespace {

using base::Clock;
using nlohmann::json;

void require_two(const std::string& source, int64_t count) {
  if (count < 2)
    throw std::invalid_argument(fmt::format(
        "{}: {} image{}; a score needs at least 2", source, count, count == 1 ? "" : "s"));
}

json sizes_json(const metrics::SizeCounts& sizes) {
  constexpr size_t kShown = 20;
  std::vector<json> rows;
  for (const auto& [size, count] : sizes)
    rows.push_back({{"width", size.first}, {"height", size.second}, {"count", count}});
  std::stable_sort(rows.begin(), rows.end(), [](const json& a, const json& b) {
    return a["count"].get<int64_t>() > b["count"].get<int64_t>();
  });
  if (rows.size() > kShown) rows.resize(kShown);
  return rows;
}

/// A line on what the arrays of a file were taken for, on stderr and in the record.
metrics::ArrayRoles recognise(const std::string& source, json& provenance) {
  const auto path = metrics::array_path(source);
  if (path.path.empty()) return {};
  auto roles = metrics::recognise_arrays(path);
  provenance["recognised"] = roles.text;
  if (const auto* group = base::process_group(); !group || group->is_first())
    fmt::print(
        stderr, "{}: {}\n", base::printable_text(path.path), base::printable_text(roles.text));
  return roles;
}

void warn_of_samples(const SideRequest& request,
                     const json& samples,
                     std::vector<std::string>& warnings) {
  if (!samples.is_object()) return;
  const auto missing = samples.value("missing", json());
  const auto finished = samples.find("finished");
  const bool unfinished =
      (finished != samples.end() && finished->is_boolean() && !finished->get<bool>()) ||
      (missing.is_string() && !missing.get<std::string>().empty());
  if (unfinished)
    warnings.push_back(fmt::format(
        "{}: samples.json says that sampling was not finished{}; score it once all are there",
        request.source,
        missing.is_string() ? " (missing: " + missing.get<std::string>().substr(0, 60) + ")" : ""));
}

void warn_of_images(const SideRequest& request,
                    const metrics::ImageSource& opened,
                    const metrics::SizeCounts& sizes,
                    int64_t skipped,
                    std::vector<std::string>& warnings) {
  for (const auto& note : opened.images->notes())
    warnings.push_back(fmt::format("{}: {}", request.source, note));
  if (skipped > 0)
    warnings.push_back(fmt::format(
        "{}: {} files could not be decoded; the next good image was counted in place of each",
        request.source,
        skipped));
  if (opened.own_sizes && metrics::common_side(sizes) == 0)
    warnings.push_back(fmt::format(
        "{}: {} are not squares of one size ({}); the extractor's resize squeezes each whole image",
        request.source,
        request.what == "reference" ? "the reference images" : "the images",
        metrics::sizes_text(sizes)));
  warn_of_samples(request, opened.samples, warnings);
}

/// Images through the extractor.
Side side_of_images(const SideRequest& request,
                    const metrics::FeatureExtractor& extractor,
                    std::vector<std::string>& warnings) {
  Side side;
  recognise(request.source, side.provenance);
  const auto opened = metrics::open_images(request.source, request.dataset, request.made_size);
  const auto& images = *opened.images;
  if (request.count > images.size())
    throw std::invalid_argument(fmt::format(
        "{}: {} images wanted, there are {}", request.source, request.count, images.size()));
  const int64_t count = request.count > 0 ? request.count : images.size();
  require_two(request.source, count);
  if (request.group)
    request.group->require_same(
        {{request.what, fmt::format("{} of {}", count, images.fingerprint())}});
  const auto part = [&](int64_t first, int64_t end) {
    return opened.own_sizes
               ? metrics::stream_own_sizes(images, count, request.batch_size, first, end)
               : metrics::BatchStream(
                     metrics::stream_dataset(images, count, request.batch_size, first, end));
  };
  const auto begin = Clock::now();
  side.collected = collect_parts(
      request.group, extractor, {part, count, request.batch_size}, request.keep, request.what);
  side.images_per_sec = static_cast<double>(count) / base::seconds_since(begin);
  const auto& sizes = side.collected.sizes;
  side.image_size = metrics::common_side(sizes);
  const bool is_fitted = request.dataset.image_size > 0;
  const auto skipped = sum_of_all(request.group, images.skipped());
  side.provenance.update(
      {{"source", request.source},
       {"description", images.describe()},
       {"fingerprint", images.fingerprint()},
       {"count", count},
       {"image_size", side.image_size},
       {"sizes", sizes_json(sizes)},
       {"fit",
        is_fitted ? fmt::format("centre crop, then resize to {} px (--dataset.image_size), then "
                                "the extractor's resize",
                                request.dataset.image_size)
                  : "the extractor's resize of each whole image, from its own size"},
       {"skipped", skipped}});
  if (!opened.samples.is_null()) side.provenance["samples"] = opened.samples;
  warn_of_images(request, opened, sizes, skipped, warnings);
  return side;
}

/// Features that `keep` asks for and that the file holds: its own, or those of its images.
metrics::Collected features_in_file(const SideRequest& request,
                                    const metrics::ArrayRoles& roles,
                                    const metrics::FeatureExtractor& extractor,
                                    std::vector<std::string>& warnings) {
  const auto kept = metrics::read_features(request.source);
  if (kept.features.defined()) {
    if (kept.features.size(1) != extractor.dimensions())
      throw std::invalid_argument(fmt::format("{}: {} features each, {} gives {}",
                                              request.source,
                                              kept.features.size(1),
                                              extractor.name(),
                                              extractor.dimensions()));
    auto keep = request.keep;
    keep.spatial = keep.spatial && (kept.spatial.defined() || roles.spatial_mean.empty());
    return metrics::collect_activations(kept, keep);
  }
  if (roles.images.empty() || !(request.keep.features || request.keep.logits)) return {};
  auto of_images = request;
  of_images.source = metrics::array_path(request.source).path + ":" + roles.images;
  return side_of_images(of_images, extractor, warnings).collected;
}

/// Statistics from a file, with the features that it holds or whose images it holds.
Side side_of_statistics(const SideRequest& request,
                        const metrics::FeatureExtractor& extractor,
                        std::vector<std::string>& warnings) {
  Side side;
  json recognised = json::object();
  const auto roles = recognise(request.source, recognised);
  auto statistics = metrics::read_statistics(request.source);
  if (statistics.mean.size(0) != extractor.dimensions() && !roles.images.empty())
    throw std::invalid_argument(fmt::format(
        "{0}: its statistics are of {1} features, {2} gives {3}; pass {0}:{4} to score its images",
        request.source,
        statistics.mean.size(0),
        extractor.name(),
        extractor.dimensions(),
        roles.images));
  for (const auto& warning : check_statistics(request.source, statistics, extractor))
    warnings.push_back(warning);
  side.collected = features_in_file(request, roles, extractor, warnings);
  if (request.keep.spatial && !roles.spatial_mean.empty())
    side.collected.spatial = metrics::read_spatial_statistics(request.source);
  const bool has_images = side.collected.count > 0;
  if (statistics.count > 0 || !has_images) side.collected.count = statistics.count;
  side.provenance = json::object();
  if (!statistics.provenance.empty())
    side.provenance = formats::parse_json(statistics.provenance, request.source + ": provenance");
  if (!side.provenance.is_object())
    throw std::runtime_error(request.source + ": its provenance is not a JSON object");
  side.image_size = formats::integer_field(side.provenance, "image_size", 0, request.source);
  side.provenance["statistics"] = request.source;
  side.provenance.update(recognised);
  if (side.collected.count > 0) side.provenance["count"] = side.collected.count;
  side.collected.statistics = std::move(statistics);
  return side;
}

Side side_of_features(const SideRequest& request,
                      const metrics::FeatureExtractor& extractor,
                      std::vector<std::string>& warnings) {
  Side side;
  recognise(request.source, side.provenance);
  const auto activations = metrics::read_features(request.source);
  const auto& features = activations.features;
  if (features.size(1) != extractor.dimensions())
    throw std::invalid_argument(
        fmt::format("{}: {} features each, {} gives {}; make them with the same extractor",
                    request.source,
                    features.size(1),
                    extractor.name(),
                    extractor.dimensions()));
  require_two(request.source, features.size(0));
  warnings.push_back(request.source + " does not say which extractor, resize and images made it");
  side.collected = metrics::collect_activations(activations, request.keep);
  side.provenance.update({{"features", request.source}, {"count", features.size(0)}});
  return side;
}

/// What a stored source says of the extractor that made it.
metrics::GivenFeatures given_by(const std::string& source) {
  metrics::GivenFeatures given;
  const auto kept = metrics::read_features(source);
  if (kept.features.defined()) given.dimensions = kept.features.size(1);
  if (kept.spatial.defined()) given.spatial_dimensions = kept.spatial.size(1);
  if (kept.logits.defined()) given.num_classes = kept.logits.size(1);
  if (metrics::source_kind(source) != metrics::SourceKind::kStatistics) return given;
  const auto statistics = metrics::read_statistics(source);
  given.dimensions = statistics.mean.size(0);
  if (const auto spatial = metrics::read_spatial_statistics(source))
    given.spatial_dimensions = spatial->mean.size(0);
  if (statistics.provenance.empty()) return given;
  const auto made = formats::parse_json(statistics.provenance, source + ": provenance");
  if (!made.is_object()) throw std::runtime_error(source + ": its provenance is not a JSON object");
  given.name = formats::text_field(made, "extractor", given.name, source);
  given.sha256 = formats::text_field(made, "extractor_sha256", given.sha256, source);
  given.resize = formats::text_field(made, "resize", given.resize, source);
  given.precision = formats::text_field(made, "precision", given.precision, source);
  return given;
}

}  // namespace

bool is_stored(const std::string& source) {
  const auto path = metrics::array_path(source);
  return !path.path.empty() && metrics::recognise_arrays(path).images.empty();
}

std::unique_ptr<metrics::FeatureExtractor> extractor_of_files(const std::string& reference,
                                                              const std::string& images) {
  std::optional<metrics::GivenFeatures> known;
  for (const auto& source : {reference, images}) {
    if (source.empty()) continue;
    auto given = given_by(source);
    if (!known) {
      known = std::move(given);
      continue;
    }
    if (given.dimensions != known->dimensions)
      throw std::invalid_argument(fmt::format("{} has {} features an image, {} has {}",
                                              reference,
                                              known->dimensions,
                                              images,
                                              given.dimensions));
    const bool is_named = !given.sha256.empty();
    if (is_named && !known->sha256.empty() &&
        (given.name != known->name || given.sha256 != known->sha256))
      throw std::invalid_argument(fmt::format(
          "{} was made by {} (weights {:.12}...), {} by {} (weights {:.12}...); use one "
          "extractor",
          reference,
          known->name,
          known->sha256,
          images,
          given.name,
          given.sha256));
    if (is_named && known->sha256.empty()) {
      given.spatial_dimensions = std::max(given.spatial_dimensions, known->spatial_dimensions);
      known = std::move(given);
    }
  }
  return metrics::make_given_features(known.value());
}

Side open_side(const SideRequest& request,
               const metrics::FeatureExtractor& extractor,
               std::vector<std::string>& warnings) {
  switch (metrics::source_kind(request.source)) {
    case metrics::SourceKind::kStatistics:
      return side_of_statistics(request, extractor, warnings);
    case metrics::SourceKind::kFeatures:
      return side_of_features(request, extractor, warnings);
    case metrics::SourceKind::kImages:
      break;
  }
  return side_of_images(request, extractor, warnings);
}

/// How many captions give each seed its own, where seed i has caption i modulo their number.
int64_t captions_of(const std::string& seeds) {
  constexpr uint64_t kMost = 100'000;
  const auto set = SeedList::parse(seeds).set();
  const auto ranges = set.ranges();
  if (ranges.size() == 1) return static_cast<int64_t>(set.size());
  base::require(ranges.back().last < kMost,
                "--seeds {}: with captions, a list with gaps ends before {}",
                seeds,
                kMost);
  return static_cast<int64_t>(ranges.back().last) + 1;
}

Side side_of_run(const FidOptions& options,
                 const metrics::FeatureExtractor& extractor,
                 const metrics::CollectOptions& keep,
                 base::ProcessGroup* group) {
  SampleStreamOptions live;
  live.run = options.run;
  live.weights = options.run_weights;
  live.seeds = options.seeds;
  live.labels = options.labels;
  live.encoders = options.encoders;
  if (!options.captions.empty())
    live.prompts = choose_captions(
        options.captions, captions_of(options.seeds), static_cast<uint64_t>(options.caption_seed));
  live.batch_size = options.sample_batch_size;
  live.precision = options.sample_precision;
  live.device = options.device;
  live.guidance = options.guidance;
  live.sample = options.sample;
  const auto samples = open_sample_stream(live);
  require_two("--seeds " + options.seeds, samples.count);
  if (group) group->require_same({{"request", request_text(samples.record)}});
  Side side;
  side.image_size = samples.image_size;
  const auto begin = Clock::now();
  side.collected = collect_parts(group,
                                 extractor,
                                 {samples.part, samples.count, live.batch_size},
                                 keep,
                                 "generated and scored");
  side.images_per_sec = static_cast<double>(samples.count) / base::seconds_since(begin);
  side.provenance = {{"source", options.run},
                     {"description", "generated while they were scored"},
                     {"count", samples.count},
                     {"image_size", samples.image_size},
                     {"samples", samples.record}};
  return side;
}

void warn_of_few(const Side& side,
                 const char* what,
                 const metrics::FeatureExtractor& extractor,
                 std::vector<std::string>& warnings) {
  const int64_t enough = 10 * extractor.dimensions();
  if (side.collected.count > 0 && side.collected.count < enough)
    warnings.push_back(
        fmt::format("{} {} images: with fewer than {} the distance is biased upwards; compare it "
                    "only with scores of as many",
                    side.collected.count,
                    what,
                    enough));
}

void warn_of_mismatch(const Side& images,
                      const Side& reference,
                      std::vector<std::string>& warnings) {
  const auto differ = [](int64_t a, int64_t b) { return a > 0 && b > 0 && a != b; };
  if (differ(images.image_size, reference.image_size))
    warnings.push_back(fmt::format(
        "the images are of {} px, the reference of {} px: the distance includes that difference",
        images.image_size,
        reference.image_size));
  if (differ(images.collected.count, reference.collected.count))
    warnings.push_back(
        fmt::format("{} images against {} of the reference: compare the distance only with scores "
                    "of the same counts",
                    images.collected.count,
                    reference.collected.count));
  if (reference.collected.count == 0)
    warnings.push_back("the reference does not say how many images made it");
}

}  // namespace uvic::app
