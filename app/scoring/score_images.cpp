#include "app/scoring/score_images.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "app/runs/processes.h"
#include "app/scoring/extractors.h"
#include "app/scoring/score_side.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/torch.h"
#include "data/formats/json.h"
#include "metrics/image_source.h"
#include "metrics/score.h"

namespace uvic::app {
namespace {

using base::Clock;
using nlohmann::json;

double elapsed_seconds(Clock::time_point begin) { return base::seconds_since(begin); }

/// What both sides are scored with.
struct Scorer {
  std::unique_ptr<metrics::FeatureExtractor> extractor;
  metrics::MetricChoice choice;
};

Scorer open_scorer(const FidOptions& options) {
  Scorer scorer;
  const bool from_files = options.extractor == "embedded" && options.weights.empty() &&
                          options.run.empty() && is_stored(options.images) &&
                          (options.ref.empty() || is_stored(options.ref));
  scorer.extractor = from_files ? extractor_of_files(options.ref, options.images)
                                : open_extractor({options.extractor,
                                                  options.weights,
                                                  options.inception,
                                                  options.protocol,
                                                  options.dimensions,
                                                  options.precision},
                                                 base::choose_device(options.device));
  scorer.choice = metrics::parse_metrics(options.metrics, *scorer.extractor);
  scorer.choice.options.kid.subsets = options.kid_subsets;
  scorer.choice.options.kid.subset_size = options.kid_subset_size;
  scorer.choice.options.is_splits = options.is_splits;
  return scorer;
}

Side collect_reference(const FidOptions& options,
                       const Scorer& scorer,
                       int64_t made_size,
                       base::ProcessGroup* group,
                       std::vector<std::string>& warnings) {
  SideRequest request;
  request.source = options.ref;
  request.dataset = options.dataset;
  request.count = options.num_ref;
  request.batch_size = options.batch_size;
  if (made_size > 0) request.made_size = made_size;
  request.what = "reference";
  request.keep = needed_of_reference(scorer.choice);
  request.group = group;
  auto side = open_side(request, *scorer.extractor, warnings);
  require_collected(side.collected, request.keep, options.ref);
  return side;
}

Side collect_images(const FidOptions& options,
                    const Scorer& scorer,
                    base::ProcessGroup* group,
                    std::vector<std::string>& warnings) {
  auto keep = needed_of_images(scorer.choice);
  keep.features = keep.features || !options.save_features.empty();
  keep.spatial_rows = !options.save_features.empty();
  if (!options.run.empty()) return side_of_run(options, *scorer.extractor, keep, group);
  SideRequest request;
  request.source = options.images;
  request.dataset = options.dataset;
  request.count = options.num_images;
  request.batch_size = options.batch_size;
  request.keep = keep;
  request.group = group;
  return open_side(request, *scorer.extractor, warnings);
}

json extractor_record(const metrics::FeatureExtractor& extractor) {
  return {{"extractor", extractor.name()},
          {"extractor_sha256", extractor.weights_sha256()},
          {"resize", extractor.resize()},
          {"precision", extractor.precision()},
          {"version", UVIC_VERSION}};
}

/// --save_stats and --save_features.
void keep_statistics(const FidOptions& options,
                     const metrics::FeatureExtractor& extractor,
                     const Side& images) {
  auto record = extractor_record(extractor);
  record.update(images.provenance);
  const auto provenance = record.dump(-1, ' ', false, json::error_handler_t::replace);
  if (!options.save_stats.empty()) {
    auto statistics = images.collected.statistics;
    statistics.provenance = provenance;
    metrics::write_statistics(options.save_stats, statistics);
  }
  if (options.save_features.empty()) return;
  if (!images.collected.features.defined())
    throw std::invalid_argument(
        fmt::format("--save_features: {} holds only statistics", options.images));
  metrics::write_features(options.save_features, images.collected, provenance);
}

json value_or_null(const std::optional<double>& value) { return value ? json(*value) : json(); }

json metric_records(const std::vector<metrics::MetricValue>& values) {
  auto list = json::array();
  for (const auto& metric : values)
    list.push_back({{"name", metric.name},
                    {"value", metric.value},
                    {"std", value_or_null(metric.std)},
                    {"extrapolated", value_or_null(metric.extrapolated)},
                    {"leave_out", metric.leave_out},
                    {"how", metric.how},
                    {"higher_is_better", metric.higher_is_better}});
  return list;
}

FidResult score_sides(const Scorer& scorer,
                      const Side& images,
                      const Side& reference,
                      std::vector<std::string>& warnings) {
  const auto begin = Clock::now();
  const auto values =
      metrics::score(*scorer.extractor, reference.collected, images.collected, scorer.choice);
  const double score_sec = elapsed_seconds(begin);
  warn_of_few(images, "scored", *scorer.extractor, warnings);
  warn_of_few(reference, "reference", *scorer.extractor, warnings);
  warn_of_mismatch(images, reference, warnings);
  FidResult result;
  result.name = values[0].name;
  result.value = values[0].value;
  result.std = values[0].std.value_or(std::numeric_limits<double>::quiet_NaN());
  result.json = extractor_record(*scorer.extractor);
  result.json["metrics"] = metric_records(values);
  result.json["image_size"] = images.image_size;
  result.json["images"] = images.provenance;
  result.json["reference"] = reference.provenance;
  result.json["samples"] = images.provenance.value("samples", json());
  result.json["images"].erase("samples");
  result.json["warnings"] = warnings;
  if (images.images_per_sec > 0) result.json["images_per_sec"] = images.images_per_sec;
  if (reference.images_per_sec > 0)
    result.json["reference_images_per_sec"] = reference.images_per_sec;
  result.json["score_sec"] = score_sec;
  return result;
}

}  // namespace

FidResult run_fid(const FidOptions& options,
                  const std::function<void(const FidResult&)>& on_score) {
  options.validate();
  options.check_paths();
  auto* const group = start_processes(options.processes, options.threads);
  device_of_process(group, options.device);  // which open_scorer() and the samples take
  if (group) base::catch_stop_signals();
  const auto begin = Clock::now();
  const auto scorer = open_scorer(options);
  if (group)
    group->require_same({{"feature network", extractor_record(*scorer.extractor).dump()},
                         {"choice of metrics", options.metrics}});
  std::vector<std::string> warnings;

  // What is kept in a file is read before images are: it may lack what the metrics need.
  std::optional<Side> reference;
  if (!options.ref.empty() && metrics::source_kind(options.ref) != metrics::SourceKind::kImages)
    reference = collect_reference(options, scorer, 0, group, warnings);
  const auto images = collect_images(options, scorer, group, warnings);
  const bool is_first = !group || group->is_first();
  std::exception_ptr unwritten;  // reported after the score, which cost more
  try {
    if (is_first) keep_statistics(options, *scorer.extractor, images);
  } catch (const std::runtime_error&) {
    unwritten = std::current_exception();
  }
  if (!options.ref.empty() && !reference)
    reference = collect_reference(options, scorer, images.image_size, group, warnings);
  if (!is_first) return {};
  FidResult result;
  result.value = result.std = std::numeric_limits<double>::quiet_NaN();
  if (!options.ref.empty()) {
    result = score_sides(scorer, images, *reference, warnings);
    result.json["command"] = base::command_line();
    result.json["created"] = base::utc_now();
    result.json["elapsed_sec"] = elapsed_seconds(begin);
  }
  for (const auto& warning : warnings) fmt::print(stderr, "warning: {}\n", warning);
  if (!options.ref.empty()) {
    if (on_score) on_score(result);
    if (!options.report.empty())
      formats::write_json(std::filesystem::path(options.report) / "score.json", result.json);
  }
  if (unwritten) std::rethrow_exception(unwritten);
  return result;
}

}  // namespace uvic::app
