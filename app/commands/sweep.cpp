#include "app/commands/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "app/commands/extractor_alias.h"
#include "app/commands/sample.h"
#include "app/commands/sweep_plan.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/report/sweep_figures.h"
#include "app/runs/latent_space.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/sampling/prompt_list.h"
#include "app/scoring/kept_result.h"
#include "app/scoring/score_images.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/make_folder.h"
#include "data/formats/output_file.h"
#include "data/formats/sha256.h"
#include "metrics/image_source.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr int64_t kReferenceImages = 10000;  // at most, where --num_ref does not say

/// The folder of a point's samples. The count is part of it: all that is in a folder is scored, and
/// another count is another set.
std::string folder_name(const SweepPoint& point, const SweepOptions& options) {
  auto sampler = point.sampler;
  for (char& c : sampler)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '_' && c != '=') c = '-';
  auto name = fmt::format("{}-{}-evaluations-{}-images-guidance-{}",
                          sampler,
                          point.budget,
                          options.count,
                          point.guidance.guidance_scale);
  if (!point.interval.empty()) name += "-in-" + point.interval;
  if (options.first_seed > 0) name += fmt::format("-from-{}", options.first_seed);
  return name + fmt::format("-at-{}", point.images_seen);
}

/// What the run is scored against, where --ref does not say.
std::string reference_source(const SweepOptions& options, const RunConfig& training) {
  if (!options.ref.empty()) return options.ref;
  return training.score_ref.empty() ? training.data : training.score_ref;
}

/// The reference as statistics, made once for all points and again where it is another.
std::string reference_statistics(const SweepOptions& options,
                                 const RunConfig& training,
                                 FidOptions fid) {
  const auto source = reference_source(options, training);
  if (metrics::source_kind(source) == metrics::SourceKind::kStatistics) return source;
  fid.images = source;
  fid.dataset = training.dataset;
  fid.dataset.image_size = image_size_of(training.encoders, training.model.input());
  const auto images = metrics::open_images(source, fid.dataset).images;
  fid.num_images =
      options.num_ref > 0 ? options.num_ref : std::min(kReferenceImages, images->size());
  fid.save_stats = fs::path(options.out) / "reference.npz";
  run_fid(fid);
  return fid.save_stats;
}

FidOptions fid_options(const SweepOptions& options, const RunConfig& training) {
  FidOptions fid;
  fid.extractor = options.extractor;
  if (fid.extractor == "inception") fid.inception = options.inception;
  fid.device = options.device;
  fid.threads = options.threads;
  fid.ref = reference_statistics(options, training, fid);
  return fid;
}

SampleOptions sample_options(const SweepOptions& options,
                             const SweepPoint& point,
                             const std::vector<std::string>& prompts) {
  SampleOptions sample;
  sample.run = options.run;
  sample.weights = point.weights.string();
  sample.out = fs::path(options.out) / "samples" / folder_name(point, options);
  sample.seeds = fmt::format("{}-{}", options.first_seed, options.first_seed + options.count - 1);
  sample.prompt = prompts;
  sample.guidance = point.guidance;
  sample.sample = point.config;
  sample.batch_size = options.batch_size;
  sample.precision = options.precision;
  sample.device = options.device;
  sample.threads = options.threads;
  sample.overwrite = options.overwrite;
  return sample;
}

/// "1", "1 in 0.2-0.8": the guidance of a point.
json guidance_interval(const SweepPoint& point) {
  const auto& guidance = point.guidance;
  if (!point.interval.empty()) return point.interval;
  if (guidance.guidance_t_low == 0 && guidance.guidance_t_high == 0) return nullptr;
  return guidance.guidance_t_high > 0
             ? fmt::format("{}-{}", guidance.guidance_t_low, guidance.guidance_t_high)
             : fmt::format("{}-", guidance.guidance_t_low);
}

/// The score of a folder of samples, kept with what it was made from.
json score_of(const SampleOptions& sample, FidOptions fid, const json& reference_key) {
  fid.images = sample.out;
  const json key = {{"samples", sample_identity(sample.out)}, {"reference", reference_key}};
  return kept_or_new(fs::path(sample.out).string() + ".json", key, check_sample_score, [&] {
    return run_fid(fid).json;
  });
}

/// Samples and scores one point and adds it to the sweep. False if a signal stopped it.
bool add_point(json& sweep,
               const SweepOptions& options,
               const SweepPoint& point,
               const std::vector<std::string>& prompts,
               const FidOptions& fid,
               const json& reference_key) {
  const auto sample = sample_options(options, point, prompts);
  if (!run_sample(sample)) return false;
  const auto scored = score_of(sample, fid, reference_key);
  const auto& samples = scored.at("samples");
  const auto& metric = scored.at("metrics").at(0);
  sweep["name"] = metric.at("name");
  sweep["settings"]["precision"] = samples.at("precision");
  sweep["settings"]["extractor"] = scored.at("extractor");
  sweep["settings"]["extractor_sha256"] = scored.at("extractor_sha256");
  sweep["settings"]["reference"] = scored.at("reference");
  const auto evaluations = diffusion::function_evaluations(point.config);
  sweep["points"].push_back({{"sampler", point.sampler},
                             {"asked_evaluations", point.budget},
                             {"evaluations", evaluations},
                             {"guidance_scale", point.guidance.guidance_scale},
                             {"guidance_interval", guidance_interval(point)},
                             {"images_seen", point.images_seen},
                             {"checkpoint_sha256", samples.at("checkpoint_sha256")},
                             {"distance", metric.at("value")},
                             {"std", metric.at("std")},
                             {"leave_out", metric.value("leave_out", json::array())},
                             {"images_per_sec", samples.value("images_per_sec", json())}});
  const double error = metric.at("std").is_number() ? metric.at("std").get<double>() : 0;
  base::say_progress(fmt::format("{:<24} {:>4} evaluations  guidance {}  {} images  {} {}",
                                 point.sampler,
                                 evaluations,
                                 point.guidance.guidance_scale,
                                 point.images_seen,
                                 metric.at("name").get<std::string>(),
                                 base::with_error(metric.at("value"), error)));
  return true;
}

json settings_of(const SweepOptions& options, const RunConfig& training) {
  return {
      {"run", options.run},
      {"data", training.data},
      {"reference_source", reference_source(options, training)},
      {"count", options.count},
      {"captions", options.captions},
      {"seeds", fmt::format("{}-{}", options.first_seed, options.first_seed + options.count - 1)},
      {"version", UVIC_VERSION},
      {"command", base::command_line()}};
}

void write_files(const json& sweep, const fs::path& out) {
  formats::write_json(out / "sweep.json", sweep);
  const auto tables = sweep_tables(sweep);
  for (const auto& format : table_format_choices()) {
    std::string text;
    for (const auto& table : format.name == "csv" ? std::vector{sweep_list(sweep)} : tables)
      text += (text.empty() ? "" : "\n") + to_text(table, format.name);
    formats::write_file_atomically(out / ("sweep." + table_suffix(format.name)), text);
  }
  for (const auto& figure : sweep_figures(sweep))
    formats::write_file_atomically(out / (figure.file + ".svg"), figure.svg);
}

}  // namespace

void SweepOptions::validate() const {
  check_sweep(*this);
  formats::refuse_flag_as_path(out);
}

json run_sweep(const SweepOptions& options) {
  options.validate();
  const fs::path out(options.out);
  const auto training = read_run_config(RunDir(options.run));
  const auto axes = sweep_axes(options, training);
  const auto points = sweep_points(axes, training);
  for (const auto& note : sweep_notes(options, axes)) fmt::print(stderr, "note: {}\n", note);
  const auto prompts = captions_for(
      training, options.captions, options.count, static_cast<uint64_t>(options.first_seed));
  formats::make_folder(out / "samples");
  const auto fid = fid_options(options, training);
  const json reference_key = {{"statistics_sha256", formats::sha256_file(fid.ref)},
                              {"extractor", options.extractor}};
  json sweep = {{"settings", settings_of(options, training)}, {"points", json::array()}};
  for (const auto& point : points) {
    if (!add_point(sweep, options, point, prompts, fid, reference_key)) return nullptr;
    formats::write_json(out / "sweep.json", sweep);
  }
  sweep["lowest"] = lowest_of(sweep["points"]);
  write_files(sweep, out);
  return sweep;
}

void add_sweep_command(CLI::App& app) {
  auto options = std::make_shared<SweepOptions>();
  auto* command = app.add_subcommand(
      "sweep", "Fréchet distance over samplers, evaluations, guidance and checkpoints of a run");
  add_fields(*command, *options);
  add_extractor_alias(*command, options->extractor);
  command->callback([options, command] {
    options->validate();  // before the run is read
    take_extractor_of_run(*command, *options);
    json sweep;
    try {
      sweep = run_sweep(*options);
    } catch (const base::StopRequested&) {  // while scoring
    }
    if (sweep.is_null()) {
      fmt::print(stderr, "stopped; the same command continues\n");
      return;
    }
    print_json(sweep);
    if (options->table == "csv") {
      fmt::print("{}", to_text(sweep_list(sweep), "csv"));
    } else {
      for (const auto& table : sweep_tables(sweep))
        fmt::print("{}\n", to_text(table, options->table));
    }
    fmt::print(stderr, "{}/sweep.json\n", options->out);
  });
}

}  // namespace uvic::app
