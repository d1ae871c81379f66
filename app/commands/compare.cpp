#include "app/commands/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "app/commands/sample.h"
#include "app/commands/train.h"
#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/report/report.h"
#include "app/runs/run_dir.h"
#include "app/sampling/draw.h"
#include "app/sampling/image_grid.h"
#include "app/scoring/extractors.h"
#include "app/scoring/nearest_training.h"
#include "app/scoring/score_images.h"
#include "app/training/image_snapshots.h"
#include "base/process.h"
#include "data/dataset.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/make_folder.h"
#include "data/formats/sha256.h"
#include "metrics/collect.h"
#include "metrics/picture_source.h"
#include "metrics/score.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int64_t kRealPicturesShown = 100;
constexpr int64_t kNoiseBatch = 256;

void say(const std::string& line) { fmt::print(stderr, "compare: {}\n", line); }

std::string safe_name(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') c = '_';
  return name;
}

std::vector<std::string> column_names(const CompareOptions& options) {
  if (!options.name.empty()) return options.name;
  std::vector<std::string> names;
  for (const auto& config : options.config) names.push_back(fs::path(config).stem().string());
  return names;
}

/// Throws StopRequested between two pieces of work if a signal asked for it.
void stop_if_asked(bool finished = true) {
  if (!finished || base::stop_requested()) throw base::StopRequested();
}

/// The value kept in `file` if it was made from `key`; else a new one, kept for next time.
template <class Make>
json kept_or_new(const fs::path& file, const json& key, Make&& make) {
  if (fs::exists(file)) {
    const auto kept = formats::read_json(file);
    if (kept.value("made_from", json()) == key) return kept.at("value");
  }
  const json value = make();
  formats::write_json(file, {{"made_from", key}, {"value", value}});
  return value;
}

/// The scores of one comparison: all against one reference, with one extractor.
class Scoring {
 public:
  Scoring(const CompareOptions& options, const RunConfig& training, fs::path folder)
      : options_(options), training_(training), folder_(std::move(folder)) {
    training_.dataset.image_size = training_.model.input().size;
    formats::make_folder(folder_);
    prepare_reference();
  }

  /// The training with its scores along the way against the statistics made here: features of the
  /// reference are computed once, not by every run.
  RunConfig during(RunConfig training) const {
    if (training.score_images > 0) training.score_ref = statistics_.string();
    return training;
  }

  json of_samples(const fs::path& samples, const fs::path& file) const {
    json record = formats::read_json(samples / "samples.json");
    // What decides on the pictures stays; timings and places go.
    for (const auto* key :
         {"seconds", "images_per_sec", "run", "checkpoint", "version", "finished"})
      record.erase(key);
    return kept_or_new(
        file,
        {{"samples", record}, {"reference", reference_key_}, {"metrics", options_.metrics}},
        [&] {
          auto fid = fid_options(samples.string(), options_.metrics);
          return run_fid(fid).json;
        });
  }

  /// Real pictures that no run saw, as many of them as there are samples, if there are.
  json of_held_out(const data::Dataset& held_out) const {
    const json key = {{"fingerprint", held_out.fingerprint()},
                      {"reference", reference_key_},
                      {"count", training_.score_count},
                      {"metrics", options_.metrics}};
    return kept_or_new(folder_ / "held_out.json", key, [&] {
      auto fid = fid_options(options_.held_out, options_.metrics);
      fid.num_images = std::min(held_out.size(), training_.score_count);
      return run_fid(fid).json;
    });
  }

  /// Independent uniform bytes: what is as far from a picture as can be.
  json of_noise() const {
    return kept_or_new(
        folder_ / "noise.json",
        {{"reference", reference_key_}, {"count", training_.score_count}},
        [&] {
          const auto extractor =
              open_extractor({training_.score_extractor, {}, training_.inception},
                             base::choose_device(training_.device));
          auto generator = at::detail::createCPUGenerator(/*seed=*/0);
          int64_t left = training_.score_count;
          const auto size = training_.model.input().size;
          auto statistics =
              metrics::collect(*extractor, [&]() -> torch::Tensor {
                stop_if_asked();
                const int64_t count = std::min(left, kNoiseBatch);
                left -= count;
                return count > 0
                           ? torch::randint(256, {count, 3, size, size}, generator, torch::kInt64)
                                 .to(torch::kUInt8)
                           : torch::Tensor();
              }).statistics;
          statistics.provenance = json{
              {"extractor", extractor->name()},
              {"extractor_sha256", extractor->weights_sha256()},
              {"precision", extractor->precision()},
              {"image_size", size},
              {"source", "independent uniform bytes, seed 0"},
              {"count",
               training_.score_count}}.dump();
          metrics::write_statistics(folder_ / "noise.npz", statistics);
          return run_fid(fid_options((folder_ / "noise.npz").string(), "fd")).json;
        });
  }

 private:
  FidOptions fid_options(const std::string& images, const std::string& metrics) const {
    FidOptions fid;
    fid.images = images;
    fid.ref = metrics == "fd" ? statistics_.string() : source_;
    fid.num_ref = metrics == "fd" ? 0 : options_.num_ref;
    fid.metrics = metrics;
    fid.extractor = training_.score_extractor;
    fid.inception = training_.inception;
    fid.device = training_.device;
    fid.threads = training_.threads;
    fid.dataset = training_.dataset;
    return fid;
  }

  /// Statistics of the reference, made once: scores in a hundred places read them.
  void prepare_reference() {
    source_ = training_.score_ref.empty() ? training_.data : training_.score_ref;
    statistics_ =
        fs::path(source_).extension() == ".npz" ? fs::path(source_) : folder_ / "reference.npz";
    const auto extractor = open_extractor({training_.score_extractor, {}, training_.inception},
                                          base::choose_device(training_.device));
    metrics::parse_metrics(options_.metrics, *extractor);  // throws before any work
    reference_key_ = {{"source", source_},
                      {"count", options_.num_ref},
                      {"extractor", training_.score_extractor},
                      {"extractor_sha256", extractor->weights_sha256()},
                      {"image_size", training_.dataset.image_size}};
    if (statistics_ == fs::path(source_)) {
      reference_key_["sha256"] = formats::sha256_file(source_);
      return;
    }
    reference_key_["fingerprint"] = data::open_dataset(source_, training_.dataset)->fingerprint();
    const auto record = folder_ / "reference.json";
    if (fs::exists(statistics_) && fs::exists(record) &&
        formats::read_json(record) == reference_key_)
      return;
    say(fmt::format("features of the reference, {}", source_));
    auto fid = fid_options(source_, "fd");
    fid.ref.clear();
    fid.num_ref = 0;
    fid.num_images = options_.num_ref;
    fid.save_stats = statistics_.string();
    run_fid(fid);
    formats::write_json(record, reference_key_);
  }

  const CompareOptions& options_;
  RunConfig training_;
  fs::path folder_, statistics_;
  std::string source_;
  json reference_key_;
};

/// Real pictures in the layout of samples, so that they stand in the report beside them: "seed" s
/// shows the next picture of the class that samples of seed s have.
void write_real_pictures(const data::Dataset& dataset,
                         const fs::path& samples,
                         const fs::path& folder) {
  const auto record = formats::read_json(samples / "samples.json");
  auto seeds = parse_seeds(record.at("seeds").get<std::string>());
  seeds.resize(std::min<size_t>(seeds.size(), kRealPicturesShown));
  const auto labels = labels_in_turn(seeds, record.value("classes", std::vector<int64_t>()));
  const int64_t size = dataset.image_size();
  auto planes = torch::empty({1, 3, size, size}, torch::kUInt8);
  std::vector<bool> filled(seeds.size(), false);
  size_t left = seeds.size();
  formats::make_folder(folder);
  for (int64_t index = 0; index < dataset.size() && left > 0; ++index) {
    const int64_t label = dataset.read(index, planes.data_ptr<uint8_t>());
    for (size_t i = 0; i < seeds.size(); ++i) {
      if (filled[i] || (!labels.empty() && label >= 0 && labels[i] != label)) continue;
      const auto path = picture_path(folder, seeds[i]);
      formats::make_folder(path.parent_path());
      formats::write_png(path, to_images(planes)[0]);
      filled[i] = true, --left;
      break;
    }
  }
}

SampleOptions sample_options(const CompareOptions& options, const ComparedRun& run) {
  SampleOptions sample;
  sample.run = run.training.out;
  sample.out = run.samples.string();
  sample.seeds = fmt::format(
      "{}-{}", options.first_sample_seed, options.first_sample_seed + run.training.score_count - 1);
  sample.guidance = run.training.guidance;
  sample.sample = run.training.sample;
  sample.batch_size = options.sample_batch_size;
  sample.precision = run.training.precision;
  sample.device = run.training.device;
  sample.threads = run.training.threads;
  return sample;
}

/// Whether the first run of each config draws what it was trained on. Features of the training
/// pictures are made only where an answer is missing.
class Memorisation {
 public:
  Memorisation(const RunConfig& training, const data::Dataset* held_out, fs::path folder)
      : training_(training), held_out_(held_out), folder_(std::move(folder)) {
    training_.dataset.image_size = training_.model.input().size;
  }

  json of(const ComparedRun& run) {
    formats::make_folder(folder_);
    const auto stem = run.score.stem().string();
    const auto sheet = folder_ / (stem + ".png");
    const json key = {{"checkpoint_sha256",
                       formats::read_json(run.samples / "samples.json").at("checkpoint_sha256")},
                      {"extractor", training_.score_extractor},
                      {"held_out", held_out_ ? held_out_->fingerprint() : ""}};
    auto found = kept_or_new(folder_ / (stem + ".json"), key, [&] {
      say(fmt::format("nearest training pictures of {}", run.column));
      load();
      const auto samples = metrics::open_pictures(run.samples.string(), training_.dataset);
      json value = features_->compare(*samples.pictures, kQueries, sheet);
      if (held_out_)
        value["held_out_median_distance"] =
            features_->compare(*held_out_, kQueries).at("median_distance");
      return value;
    });
    found["sheet"] = sheet.string();
    return found;
  }

 private:
  static constexpr int64_t kQueries = 1000;

  void load() {
    if (features_) return;
    pictures_ = data::open_dataset(training_.data, training_.dataset);
    extractor_ = open_extractor({training_.score_extractor, {}, training_.inception},
                                base::choose_device(training_.device));
    features_ = std::make_unique<TrainingFeatures>(*pictures_, *extractor_, training_.flip);
  }

  RunConfig training_;
  const data::Dataset* held_out_;
  fs::path folder_;
  std::unique_ptr<data::Dataset> pictures_;
  std::unique_ptr<metrics::FeatureExtractor> extractor_;
  std::unique_ptr<TrainingFeatures> features_;
};

/// Columns in the order of the plan, each with the runs that have a score.
std::vector<ReportEntry> entries_of(const std::vector<ComparedRun>& plan,
                                    const std::vector<json>& scores,
                                    Memorisation& memorisation) {
  std::vector<ReportEntry> entries;
  for (size_t i = 0; i < scores.size(); ++i) {
    const auto& run = plan[i];
    const auto found = std::find_if(entries.begin(), entries.end(), [&](const auto& entry) {
      return entry.name == run.column;
    });
    if (found == entries.end()) {
      entries.push_back(
          {run.column, run.training.out, run.samples, {scores[i]}, {}, memorisation.of(run)});
    } else {
      found->scores.push_back(scores[i]);
      found->repeats.emplace_back(run.training.out);
    }
  }
  return entries;
}

std::string default_title(const std::vector<std::string>& names) {
  std::string title;
  for (const auto& name : names) title += (title.empty() ? "" : " against ") + name;
  return title;
}

/// The real pictures and the noise, against the same reference as the samples.
std::vector<json> baselines_of(const Scoring& scoring,
                               const data::Dataset* held_out,
                               const fs::path& samples,
                               const fs::path& real) {
  std::vector<json> baselines;
  if (held_out) {
    write_real_pictures(*held_out, samples, real);
    baselines.push_back(scoring.of_held_out(*held_out));
    baselines.back()["name"] = "real, held out";
    baselines.back()["pictures"] = real.string();
    stop_if_asked();
  }
  baselines.push_back(scoring.of_noise());
  baselines.back()["name"] = "noise";
  return baselines;
}

/// All columns are scored on the same seeds: a folder of an earlier comparison with more of them is
/// refused before any work.
void check_samples(const CompareOptions& options, const ComparedRun& run) {
  const auto file = run.samples / "samples.json";
  if (!fs::exists(file)) return;
  const auto wanted = parse_seeds(sample_options(options, run).seeds);
  const std::set<uint64_t> known(wanted.begin(), wanted.end());
  const auto drawn = formats::read_json(file).value("seeds", "");
  for (const auto seed : drawn.empty() ? std::vector<uint64_t>() : parse_seeds(drawn))
    if (!known.count(seed))
      throw std::invalid_argument(
          fmt::format("{}: holds seeds {}, --score_count and --first_sample_seed want {}-{}; "
                      "remove the folder or "
                      "choose another --out",
                      run.samples.string(),
                      drawn,
                      wanted.front(),
                      wanted.back()));
}

/// The plan from top to bottom; returns the report as text. Throws StopRequested.
std::string compare(const CompareOptions& options,
                    const fs::path& out,
                    const std::vector<ComparedRun>& plan) {
  const auto& first = plan.front().training;
  const auto names = column_names(options);
  const auto title = options.title.empty() ? default_title(names) : options.title;
  auto held_out_options = first.dataset;
  held_out_options.image_size = first.model.input().size;
  // Opened before any training, so that a wrong path is told at once.
  const auto held_out =
      options.held_out.empty() ? nullptr : data::open_dataset(options.held_out, held_out_options);
  for (const auto& run : plan) check_samples(options, run);
  const Scoring scoring(options, first, out / "scores");
  Memorisation memorisation(first, held_out.get(), out / "neighbours");
  std::vector<json> scores, baselines;
  std::string text;
  for (size_t i = 0; i < plan.size(); ++i) {
    const auto& run = plan[i];
    say(fmt::format("{} of {}: {}, seed {}", i + 1, plan.size(), run.column, run.training.seed));
    stop_if_asked(run_train(scoring.during(run.training)).finished);
    stop_if_asked(run_sample(sample_options(options, run)));
    scores.push_back(scoring.of_samples(run.samples, run.score));
    stop_if_asked();
    if (baselines.empty())
      baselines = baselines_of(scoring, held_out.get(), run.samples, out / "samples" / "real");
    if ((i + 1) % names.size() != 0) continue;
    const auto entries = entries_of(plan, scores, memorisation);
    write_report(title, entries, baselines, out);
    text = report_text(title, entries, baselines);
    say((out / "report.html").string());
  }
  return text;
}

}  // namespace

void CompareOptions::validate() const {
  base::check_fields(*this);
  if (config.empty())
    throw std::invalid_argument("compare: --config is missing; give it once for each column");
  if (!name.empty() && name.size() != config.size())
    throw std::invalid_argument(
        fmt::format("compare: {} of --name, {} of --config; give one name for each config, or none",
                    name.size(),
                    config.size()));
}

std::vector<ComparedRun> plan_comparison(
    const CompareOptions& options,
    const fs::path& out,
    const std::function<void(RunConfig&)>& override_with_flags) {
  options.validate();
  const auto names = column_names(options);
  std::set<std::string> used;
  for (const auto& name : names)
    if (!used.insert(safe_name(name)).second)
      throw std::invalid_argument(
          fmt::format("compare: two columns are named {}; tell them apart by --name", name));
  std::vector<RunConfig> configs;
  for (const auto& config : options.config) {
    RunConfig training;
    training.dataset.image_size = 0;
    read_toml(find_config(config), training);
    override_with_flags(training);
    if (training.score_images == 0 && options.curve_points > 0)
      training.score_images = std::max<int64_t>(1, training.total_images / options.curve_points);
    training.validate();
    check_grid(training);
    if (training.model.input().size !=
        (configs.empty() ? training : configs.front()).model.input().size)
      throw std::invalid_argument(
          fmt::format("{}: pictures of {} px, {} has {} px; compare equal sizes",
                      config,
                      training.model.input().size,
                      options.config[0],
                      configs.front().model.input().size));
    configs.push_back(training);
  }
  std::vector<ComparedRun> plan;
  for (int64_t repeat = 0; repeat < options.seeds_per_config; ++repeat)
    for (size_t i = 0; i < configs.size(); ++i) {
      ComparedRun run{names[i], configs[i], {}, {}};
      run.training.seed += static_cast<uint64_t>(repeat);
      const auto stem = fmt::format("{}-seed{}", safe_name(names[i]), run.training.seed);
      run.training.out = (out / "runs" / stem).string();
      run.samples = out / "samples" / stem;
      run.score = out / "scores" / (stem + ".json");
      plan.push_back(run);
    }
  return plan;
}

bool run_comparison(const CompareOptions& options,
                    const fs::path& out,
                    const std::vector<ComparedRun>& plan) {
  if (plan.front().training.dry_run) {
    for (const auto& run : plan) run_train(run.training);
    return true;
  }
  try {
    fmt::print("{}", compare(options, out, plan));
    return true;
  } catch (const base::StopRequested&) {
    return false;
  }
}

void add_compare_command(CLI::App& app) {
  auto options = std::make_shared<CompareOptions>();
  auto training = std::make_shared<RunConfig>();
  auto* command =
      app.add_subcommand("compare", "Train, sample and score configs side by side, and report");
  add_fields(*command, *options);
  add_fields(*command, *training);  // given ones override every config
  command->get_option("--out")->description(
      "Folder of the comparison; the same command continues what is there");
  command->callback([options, training, command] {
    if (training->out.empty())
      throw std::invalid_argument("compare: --out is missing; the folder of the comparison");
    const fs::path out = training->out;
    const auto plan =
        plan_comparison(*options, out, [&](RunConfig& config) { apply_given(*command, config); });
    if (plan.front().training.data.empty())
      throw std::invalid_argument("compare: --data is missing; \"procedural\" is the embedded set");
    if (!run_comparison(*options, out, plan)) say("stopped; the same command goes on from here");
  });
}

}  // namespace uvic::app
