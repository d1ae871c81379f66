#include "app/scoring/score_images.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "app/options/options.h"
#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "app/sampling/image_stream.h"
#include "app/scoring/extractors.h"
#include "base/check.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "base/tensor_text.h"
#include "base/text_format.h"
#include "data/formats/json.h"
#include "data/formats/output_file.h"
#include "metrics/collect.h"
#include "metrics/image_stream.h"
#include "metrics/picture_source.h"
#include "metrics/score.h"

namespace uvic::app {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

/// A set of pictures as the metrics see it, and where it came from.
struct Side {
  metrics::Collected collected;
  json provenance;
  int64_t image_size = 0;     // px; 0: unknown, as of statistics from elsewhere
  int64_t native_size = 0;    // px, before they were brought to image_size; 0: unknown
  double images_per_sec = 0;  // reading, resizing and the network together; 0: nothing was read
};

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::function<void(int64_t)> progress_of(const char* what, int64_t total) {
  return [line = base::CountProgress(what, "images"), total](int64_t done) mutable {
    line(done, total);
  };
}

void require_two(const std::string& source, int64_t count) {
  if (count < 2)
    throw std::invalid_argument(fmt::format(
        "{}: {} picture{}; a score needs at least 2", source, count, count == 1 ? "" : "s"));
}

Side side_of_statistics(const std::string& path,
                        const metrics::FeatureExtractor& extractor,
                        const metrics::CollectOptions& collect,
                        std::vector<std::string>& warnings) {
  Side side;
  const auto kept = metrics::read_kept_features(path);
  if (kept.features.defined()) side.collected = metrics::collect_activations(kept, collect);
  side.collected.statistics = metrics::read_statistics(path);
  const auto& statistics = side.collected.statistics;
  side.collected.count = statistics.count;
  for (const auto& warning : check_statistics(path, statistics, extractor))
    warnings.push_back(warning);
  if (statistics.provenance.empty()) {
    side.provenance = {{"statistics", path}};
    if (statistics.count > 0) side.provenance["count"] = statistics.count;
    return side;
  }
  side.provenance = formats::parse_json(statistics.provenance, path + ": provenance");
  side.image_size = side.provenance.value("image_size", int64_t{0});
  side.native_size = side.provenance.value("native_size", side.image_size);
  side.provenance["statistics"] = path;
  return side;
}

Side side_of_features(const std::string& path,
                      const metrics::FeatureExtractor& extractor,
                      const metrics::CollectOptions& collect,
                      std::vector<std::string>& warnings) {
  const auto activations = metrics::read_features(path);
  const auto& features = activations.features;
  if (features.size(1) != extractor.dimensions())
    throw std::invalid_argument(
        fmt::format("{}: {} features each, {} gives {}; make them with the same extractor",
                    path,
                    features.size(1),
                    extractor.name(),
                    extractor.dimensions()));
  require_two(path, features.size(0));
  warnings.push_back(path + " does not tell which extractor, resize and pictures made it");
  Side side;
  side.collected = metrics::collect_activations(activations, collect);
  side.provenance = {{"features", path}, {"count", features.size(0)}};
  return side;
}

Side side_of_pictures(const std::string& source,
                      const data::DatasetOptions& dataset,
                      int64_t wanted,
                      int64_t batch_size,
                      const char* what,
                      const metrics::FeatureExtractor& extractor,
                      const metrics::CollectOptions& collect) {
  auto opened = metrics::open_pictures(source, dataset);
  const auto& pictures = *opened.pictures;
  if (wanted > pictures.size())
    throw std::invalid_argument(
        fmt::format("{}: {} pictures wanted, there are {}", source, wanted, pictures.size()));
  const int64_t count = wanted > 0 ? wanted : pictures.size();
  require_two(source, count);
  Side side;
  side.image_size = pictures.image_size();
  side.native_size = opened.native_size;
  const auto begin = Clock::now();
  side.collected = metrics::collect(extractor,
                                    metrics::stream_dataset(pictures, count, batch_size),
                                    collect,
                                    progress_of(what, count));
  side.images_per_sec = static_cast<double>(count) / seconds_since(begin);
  side.provenance = {{"source", source},
                     {"description", pictures.describe()},
                     {"fingerprint", pictures.fingerprint()},
                     {"count", count},
                     {"image_size", side.image_size},
                     {"native_size", side.native_size},
                     {"fit", "centre crop, then resize, where a picture has another size"},
                     {"skipped", pictures.skipped()}};
  if (!opened.samples.is_null()) side.provenance["samples"] = opened.samples;
  return side;
}

Side side_of_run(const FidOptions& options,
                 const metrics::FeatureExtractor& extractor,
                 const metrics::CollectOptions& collect) {
  LiveSampleOptions live;
  live.run = options.run;
  live.weights = options.run_weights;
  live.seeds = options.seeds;
  live.labels = options.labels;
  live.batch_size = options.sample_batch_size;
  live.precision = options.sample_precision;
  live.device = options.device;
  live.guidance = options.guidance;
  live.sample = options.sample;
  const auto samples = open_live_samples(live);
  require_two("--seeds " + options.seeds, samples.count);
  Side side;
  side.image_size = side.native_size = samples.image_size;
  const auto begin = Clock::now();
  side.collected = metrics::collect(
      extractor, samples.stream, collect, progress_of("generated and scored", samples.count));
  side.images_per_sec = static_cast<double>(samples.count) / seconds_since(begin);
  side.provenance = {{"source", options.run},
                     {"description", "drawn while they were scored"},
                     {"count", samples.count},
                     {"image_size", samples.image_size},
                     {"samples", samples.record}};
  return side;
}

json extractor_record(const metrics::FeatureExtractor& extractor) {
  return {{"extractor", extractor.name()},
          {"extractor_sha256", extractor.weights_sha256()},
          {"resize", extractor.resize()},
          {"precision", extractor.precision()},
          {"version", UVIC_VERSION}};
}

void warn_of_few(const Side& side,
                 const char* what,
                 const metrics::FeatureExtractor& extractor,
                 std::vector<std::string>& warnings) {
  const int64_t enough = 10 * extractor.dimensions();
  if (side.collected.count > 0 && side.collected.count < enough)
    warnings.push_back(
        fmt::format("{} {} pictures: with fewer than {} the distance is biased upwards; compare it "
                    "only with scores of as many",
                    side.collected.count,
                    what,
                    enough));
}

/// What makes a distance something else than the distance of the pictures' content.
void warn_of_mismatch(const Side& pictures,
                      const Side& reference,
                      std::vector<std::string>& warnings) {
  const auto differ = [](int64_t a, int64_t b) { return a > 0 && b > 0 && a != b; };
  if (differ(pictures.image_size, reference.image_size))
    warnings.push_back(
        fmt::format("the pictures are {} px, the reference was {} px: the distance counts that too",
                    pictures.image_size,
                    reference.image_size));
  else if (differ(pictures.native_size, reference.native_size))
    warnings.push_back(fmt::format(
        "the pictures are of {} px, the reference of {} px, both brought to {} px: the distance "
        "counts that too",
        pictures.native_size,
        reference.native_size,
        pictures.image_size));
  if (differ(pictures.collected.count, reference.collected.count))
    warnings.push_back(fmt::format(
        "{} pictures against {} of the reference: compare the distance only with scores "
        "of the same counts",
        pictures.collected.count,
        reference.collected.count));
  if (reference.collected.count == 0)
    warnings.push_back("the reference does not tell how many pictures made it");
}

json value_or_null(const std::optional<double>& value) { return value ? json(*value) : json(); }

json records(const std::vector<metrics::MetricValue>& values) {
  auto list = json::array();
  for (const auto& metric : values)
    list.push_back({{"name", metric.name},
                    {"value", metric.value},
                    {"std", value_or_null(metric.std)},
                    {"extrapolated", value_or_null(metric.extrapolated)},
                    {"how", metric.how},
                    {"higher_is_better", metric.higher_is_better}});
  return list;
}

/// The first option not at its default that only the drawing from --run reads, or "".
std::string option_of_run(FidOptions options) {
  const auto is_of_run = [](const std::string& name) {
    for (const auto* prefix : {"sample", "guidance", "seeds", "labels", "run_weights"})
      if (name.rfind(prefix, 0) == 0) return true;
    return false;
  };
  FidOptions plain;
  std::vector<std::string> defaults;
  visit_leaves(plain, [&](const std::string&, auto& field, const base::Field&) {
    defaults.push_back(detail::toml_value(field));
  });
  std::string changed;
  size_t at = 0;
  visit_leaves(options, [&](const std::string& name, auto& field, const base::Field&) {
    if (detail::toml_value(field) != defaults[at++] && is_of_run(name) && changed.empty())
      changed = name;
  });
  return changed;
}

bool is_run_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  return !path.empty() && std::filesystem::is_regular_file(path / "config.toml", ignored) &&
         std::filesystem::is_directory(path / "weights", ignored);
}

/// Throws where an input is of the wrong kind or an output can't be written.
void check_paths(const FidOptions& options) {
  if (is_run_folder(options.images))
    throw std::invalid_argument(
        fmt::format("--images {0}: a run folder; pass --run {0}", options.images));
  if (is_run_folder(options.ref))
    throw std::invalid_argument(
        fmt::format("--ref {}: a run folder; give pictures or statistics", options.ref));
  for (const auto& file : {options.save_stats, options.save_features})
    if (!file.empty()) formats::check_writable_file(file);
  if (options.report.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(options.report, error);
  if (error)
    throw std::runtime_error(fmt::format(
        "--report {}: no folder can be made there: {}", options.report, error.message()));
  formats::check_writable_file(std::filesystem::path(options.report) / "score.json");
}

void keep_statistics(const FidOptions& options,
                     const metrics::Collected& collected,
                     const std::string& provenance) {
  if (!options.save_stats.empty()) {
    auto statistics = collected.statistics;
    statistics.provenance = provenance;
    metrics::write_statistics(options.save_stats, statistics);
  }
  if (options.save_features.empty()) return;
  if (!collected.features.defined())
    throw std::invalid_argument(
        fmt::format("--save_features: {} holds statistics alone", options.images));
  metrics::write_features(options.save_features, collected, provenance);
}

}  // namespace

std::string metric_names() {
  return fmt::format("{}", fmt::join(metrics::metric_kinds().names(), ", "));
}

void FidOptions::validate() const {
  base::check_fields(*this);
  base::require(
      !images.empty() || !run.empty(),
      "fid: --images is missing; give the pictures to score, or a --run to draw them from");
  base::require(images.empty() || run.empty(),
                "fid: --images and --run both name what to score; give one of them");
  if (run.empty()) {
    const auto needless = option_of_run(*this);
    base::require(needless.empty(), fmt::format("--{} needs --run", needless));
  }
  base::require(run.empty() || num_images == 0, "--num_images: of --run, --seeds says how many");
  base::require(!ref.empty() || !save_stats.empty() || !save_features.empty(),
                "fid: --ref is missing; give a reference, or --save_stats to make one");
  base::require(
      extractor == "embedded" || extractor == "inception" ||
          std::filesystem::path(extractor).extension() == ".pt",
      fmt::format("--extractor {}: embedded, inception or a TorchScript file (.pt)", extractor));
  base::require(precision == "fp32" || (precision == "bf16" && extractor == "inception"),
                fmt::format("--precision {}: fp32, or bf16 with the Inception network", precision));
  base::require(weights.empty() || extractor == "embedded",
                "--weights: for --extractor embedded; Inception's are --inception");
  const FidOptions plain;
  base::require(
      extractor == "inception" || (protocol == plain.protocol && dimensions == plain.dimensions),
      fmt::format("--{} needs --extractor inception",
                  protocol == plain.protocol ? "dimensions" : "protocol"));
}

void FidOptions::take_sampler_of_run() {
  if (run.empty()) return;
  RunConfig training;
  read_toml(RunDir(run).config(), training);
  sample = training.sample;
  guidance = training.guidance;
}

FidResult run_fid(const FidOptions& options,
                  const std::function<void(const FidResult&)>& on_score) {
  options.validate();
  check_paths(options);
  base::set_up_process(options.threads);
  const auto begin = Clock::now();
  const auto extractor = open_extractor({options.extractor,
                                         options.weights,
                                         options.inception,
                                         options.protocol,
                                         options.dimensions,
                                         options.precision},
                                        base::choose_device(options.device));
  auto choice = metrics::parse_metrics(options.metrics, *extractor);
  choice.options.kid.subsets = options.kid_subsets;
  choice.options.kid.subset_size = options.kid_subset_size;
  choice.options.is_splits = options.is_splits;
  std::vector<std::string> warnings;

  const auto side = [&](const std::string& source,
                        const data::DatasetOptions& dataset,
                        int64_t count,
                        const char* what,
                        const metrics::CollectOptions& collect) {
    const auto kind = metrics::source_kind(source);
    if (kind == metrics::SourceKind::kStatistics)
      return side_of_statistics(source, *extractor, collect, warnings);
    if (kind == metrics::SourceKind::kFeatures)
      return side_of_features(source, *extractor, collect, warnings);
    return side_of_pictures(source, dataset, count, options.batch_size, what, *extractor, collect);
  };
  // What is kept in a file is read before pictures are: it may lack what the metrics need.
  std::optional<Side> reference;
  if (!options.ref.empty() && metrics::source_kind(options.ref) != metrics::SourceKind::kPictures) {
    reference = side(options.ref, {}, 0, "reference", needed_of_reference(choice));
    require_collected(reference->collected, needed_of_reference(choice), options.ref);
  }
  auto keep = needed_of_images(choice);
  keep.features = keep.features || !options.save_features.empty();
  keep.spatial_rows = !options.save_features.empty();
  const auto pictures =
      options.run.empty()
          ? side(options.images, options.dataset, options.num_images, "images", keep)
          : side_of_run(options, *extractor, keep);
  auto provenance = extractor_record(*extractor);
  provenance.update(pictures.provenance);
  const auto provenance_text = provenance.dump(-1, ' ', false, json::error_handler_t::replace);
  std::exception_ptr unwritten;  // told after the score, which cost more
  try {
    keep_statistics(options, pictures.collected, provenance_text);
  } catch (const std::runtime_error&) {
    unwritten = std::current_exception();
  }
  FidResult result;
  result.value = result.std = std::numeric_limits<double>::quiet_NaN();
  if (options.ref.empty()) {
    if (unwritten) std::rethrow_exception(unwritten);
    return result;
  }

  // Reference pictures are brought to the size of those scored, as the training did.
  auto like_pictures = options.dataset;
  if (like_pictures.image_size == 0) like_pictures.image_size = pictures.image_size;
  if (!reference)
    reference =
        side(options.ref, like_pictures, options.num_ref, "reference", needed_of_reference(choice));
  const auto scoring = Clock::now();
  const auto values = metrics::score(*extractor, reference->collected, pictures.collected, choice);
  const double score_sec = seconds_since(scoring);
  warn_of_few(pictures, "scored", *extractor, warnings);
  warn_of_few(*reference, "reference", *extractor, warnings);
  warn_of_mismatch(pictures, *reference, warnings);

  result.name = values[0].name;
  result.value = values[0].value;
  result.std = values[0].std.value_or(std::numeric_limits<double>::quiet_NaN());
  result.json = extractor_record(*extractor);
  result.json["metrics"] = records(values);
  result.json["image_size"] = pictures.image_size;
  result.json["images"] = pictures.provenance;
  result.json["reference"] = reference->provenance;
  result.json["samples"] = pictures.provenance.value("samples", json());
  result.json["images"].erase("samples");
  result.json["warnings"] = warnings;
  if (pictures.images_per_sec > 0) result.json["images_per_sec"] = pictures.images_per_sec;
  if (reference->images_per_sec > 0)
    result.json["reference_images_per_sec"] = reference->images_per_sec;
  result.json["score_sec"] = score_sec;
  result.json["command"] = base::command_line();
  result.json["created"] = base::utc_now();
  result.json["elapsed_sec"] = std::chrono::duration<double>(Clock::now() - begin).count();
  for (const auto& warning : warnings) fmt::print(stderr, "warning: {}\n", warning);
  if (on_score) on_score(result);
  if (!options.report.empty())
    formats::write_json(std::filesystem::path(options.report) / "score.json", result.json);
  if (unwritten) std::rethrow_exception(unwritten);
  return result;
}

}  // namespace uvic::app
