#include "app/commands/fid_checkpoints.h"

#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/report/plot.h"
#include "app/runs/checkpoint_list.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/sampling/seed_list.h"
#include "app/scoring/kept_result.h"
#include "app/scoring/score_images.h"
#include "base/check.h"
#include "base/process.h"
#include "base/process_place.h"
#include "base/progress_line.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/make_folder.h"
#include "data/formats/sha256.h"
#include "metrics/image_source.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

/// The reference of the run, where --ref does not say; statistics of it where the distance is all
/// that is asked for, so that its features are computed once.
void prepare_reference(FidOptions& options) {
  options.take_reference_of_run();
  if (options.report.empty() || options.metrics != "fd" ||
      metrics::source_kind(options.ref) != metrics::SourceKind::kImages)
    return;
  FidOptions reference;  // without options of the run
  reference.extractor = options.extractor;
  reference.weights = options.weights;
  reference.inception = options.inception;
  reference.protocol = options.protocol;
  reference.dimensions = options.dimensions;
  reference.batch_size = options.batch_size;
  reference.precision = options.precision;
  reference.device = options.device;
  reference.threads = options.threads;
  reference.dataset = options.dataset;
  reference.images = options.ref;
  reference.num_images = options.num_ref;
  reference.save_stats = (fs::path(options.report) / "reference.npz").string();
  run_fid(reference);
  options.ref = reference.save_stats;
  options.num_ref = 0;
}

/// All that decides on a score.
json key_of(const FidOptions& options, const fs::path& weights) {
  auto named = options;
  named.report = named.run_weights = named.table = named.checkpoints = "";
  json key = {{"options", to_toml(named)}, {"weights_sha256", formats::sha256_file(weights)}};
  if (fs::is_regular_file(options.ref)) key["reference_sha256"] = formats::sha256_file(options.ref);
  return key;
}

std::string curve_of(const json& scores) {
  LinePlot plot;
  Series series;
  series.markers = true;
  for (const auto& point : scores["points"]) {
    const auto& metric = point["metrics"][0];
    plot.y_label = metric["name"];
    series.x.push_back(point["images_seen"]);
    series.y.push_back(metric["value"]);
    series.error.push_back(metric["std"].is_number() ? metric["std"].get<double>() : 0);
  }
  plot.title = fmt::format("{} along training", plot.y_label);
  plot.x_label = "images seen";
  plot.log_y = true;
  plot.series = {std::move(series)};
  return to_svg(plot, print_palette());
}

/// Of `best`, where the seeds of the scores that picked it are scored again.
json warnings_of_best(const FidOptions& options) {
  if (options.checkpoints != "best") return json::array();
  const auto count = read_run_config(RunDir(options.run)).score_count;
  const auto picked = SeedList::first_numbers(static_cast<uint64_t>(count));
  const auto common = picked.set().intersection(SeedList::parse(options.seeds).set());
  if (common.empty()) return json::array();
  return json::array({fmt::format(
      "--checkpoints best: the run picked it by samples of seeds {}, of which {} are scored again "
      "here, which makes its score too good; give others, such as --seeds {}-{}",
      picked.text(),
      common.size(),
      count,
      2 * count - 1)});
}

/// How a reader may come to a best checkpoint, and what its score is then worth.
std::string how_picked(const json& scores) {
  const auto points = scores["points"].size();
  if (points > 1)
    return fmt::format(
        " All checkpoints have the same sample seeds. The best of {} was picked afterwards: score "
        "it again with other seeds before you quote it.",
        points);
  if (scores["settings"].value("checkpoints", "") != "best") return "";
  std::string text = " The run picked this checkpoint by the scores of its own training.";
  for (const auto& warning : scores.value("warnings", json::array()))
    text += fmt::format(" Warning: {}.", warning.get<std::string>());
  return text;
}

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? std::string("unknown")
         : found->is_string()                      ? found->get<std::string>()
                                                   : found->dump();
}

}  // namespace

json run_checkpoint_scores(FidOptions options) {
  base::require(!options.run.empty(), "--checkpoints: needs --run, whose checkpoints they are");
  base::require(
      options.processes.processes == 1 && base::process_place().size == 1,
      "--checkpoints: only one process can score them; with several, score each by --run_weights");
  base::require(options.run_weights.empty(), "--checkpoints, --run_weights: give one of them");
  base::require(options.save_stats.empty() && options.save_features.empty(),
                "--checkpoints: --save_stats and --save_features keep one set of images");
  const auto files = chosen_checkpoints(RunDir(options.run), options.checkpoints);
  options.check_paths();
  prepare_reference(options);
  const fs::path report(options.report);
  if (!options.report.empty()) formats::make_folder(report / "scores");
  json scores = {{"points", json::array()}, {"warnings", warnings_of_best(options)}};
  for (const auto& warning : scores["warnings"])
    fmt::print(stderr, "warning: {}\n", warning.get<std::string>());
  for (const auto& file : files) {
    if (base::stop_requested()) throw base::StopRequested();
    auto one = options;
    one.report = one.checkpoints = "";
    one.run_weights = file.path.string();
    const auto made = [&] { return run_fid(one).json; };
    const auto kept = report / "scores" / fmt::format("{:09}.json", file.images_seen);
    const auto score =
        options.report.empty()
            ? made()
            : kept_or_new(kept, key_of(options, file.path), check_sample_score, made);
    scores["settings"] = {{"run", options.run},
                          {"checkpoints", options.checkpoints},
                          {"reference", score["reference"]},
                          {"count", score["images"]["count"]},
                          {"extractor", score["extractor"]},
                          {"extractor_sha256", score["extractor_sha256"]},
                          {"seeds", score["samples"].value("seeds", options.seeds)},
                          {"sampler", score["samples"].value("sampler", "")},
                          {"steps", score["samples"].value("steps", 0)},
                          {"guidance_scale", score["samples"].value("guidance_scale", 1.0)},
                          {"precision", score["samples"].value("precision", "")},
                          {"version", UVIC_VERSION},
                          {"command", base::command_line()}};
    scores["points"].push_back(
        {{"images_seen", file.images_seen},
         {"checkpoint_sha256", text_at(score["samples"], "checkpoint_sha256")},
         {"metrics", score["metrics"]}});
    const auto& metric = score["metrics"][0];
    const double error = metric["std"].is_number() ? metric["std"].get<double>() : 0;
    base::say_progress(fmt::format("{:>9} images  {} {}",
                                   file.images_seen,
                                   metric["name"].get<std::string>(),
                                   base::with_error(metric["value"], error)));
  }
  if (options.report.empty()) return scores;
  formats::write_json(report / "checkpoints.json", scores);
  for (const auto& format : table_format_choices())
    formats::write_file_atomically(report / ("checkpoints." + table_suffix(format.name)),
                                   to_text(checkpoint_table(scores), format.name));
  formats::write_file_atomically(report / "checkpoints.svg", curve_of(scores));
  return scores;
}

NumberTable checkpoint_table(const json& scores) {
  const auto& settings = scores["settings"];
  NumberTable table;
  table.caption = fmt::format(
      "Checkpoints of {}. {} samples each, seeds {}, {} with {} steps, guidance {}, {}; reference "
      "{} ({} images); {} {:.12}; uvic {}. Errors are jackknife standard errors over tenths of the "
      "samples, or as the metric says; the reference and the training count as exact.{}",
      text_at(settings, "run"),
      text_at(settings, "count"),
      text_at(settings, "seeds"),
      text_at(settings, "sampler"),
      text_at(settings, "steps"),
      text_at(settings, "guidance_scale"),
      text_at(settings, "precision"),
      text_at(settings["reference"], "source"),
      text_at(settings["reference"], "count"),
      text_at(settings, "extractor"),
      text_at(settings, "extractor_sha256"),
      text_at(settings, "version"),
      how_picked(scores));
  table.header = {"images seen"};
  for (const auto& point : scores["points"]) {
    table.rows.push_back({{std::to_string(point["images_seen"].get<int64_t>())}});
    for (const auto& metric : point["metrics"]) {
      if (table.rows.size() == 1) table.header.push_back(metric["name"]);
      NumberCell cell;
      cell.value = metric["value"].get<double>();
      if (metric["std"].is_number()) cell.error = metric["std"].get<double>();
      table.rows.back().push_back(cell);
    }
  }
  return table;
}

void score_checkpoints(const FidOptions& options) {
  base::catch_stop_signals();
  try {
    const auto scores = run_checkpoint_scores(options);
    print_json(scores);
    fmt::print("{}", to_text(checkpoint_table(scores), options.table));
    if (!options.report.empty()) fmt::print(stderr, "{}/checkpoints.json\n", options.report);
  } catch (const base::StopRequested&) {
    fmt::print(stderr,
               "stopped{}\n",
               options.report.empty() ? "" : "; the same command scores what is missing");
  }
}

}  // namespace uvic::app
