#include "app/commands/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "app/commands/sample.h"
#include "app/options/options.h"
#include "app/report/plot.h"
#include "app/runs/latent_space.h"
#include "app/runs/network_source.h"
#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/sampling/generate.h"
#include "app/scoring/score_images.h"
#include "base/check.h"
#include "base/process.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/make_folder.h"
#include "metrics/image_source.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr int64_t kReferenceImages = 10000;  // at most, where --num_ref does not say

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

std::vector<int64_t> parse_evaluations(const std::string& text) {
  std::vector<int64_t> counts;
  for (const auto& word : split(text, ',')) {
    int64_t count = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), count);
    if (error != std::errc() || end != word.data() + word.size() || count < 1 || count > 100000)
      throw std::invalid_argument(fmt::format("--evaluations {}: wants counts, as 5,10,20", text));
    counts.push_back(count);
  }
  if (counts.empty()) throw std::invalid_argument("--evaluations: give at least one count");
  return counts;
}

/// "dpm_solver_pp:order=3" -> the sampler's options, all else as it is by default.
diffusion::SamplerConfig parse_sampler(const std::string& text) {
  diffusion::SamplerConfig config;
  const auto parts = split(text, ':');
  config.sampler = parts.empty() ? "" : parts[0];
  std::vector<std::string> arguments;
  for (size_t i = 1; i < parts.size(); ++i) arguments.push_back("--" + parts[i]);
  CLI::App app;
  add_fields(app, config);
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& e) {
    throw std::invalid_argument(fmt::format("--samplers {}: {}", text, e.what()));
  }
  if (config.method == "adaptive")
    throw std::invalid_argument(
        fmt::format("--samplers {}: its evaluations can't be chosen", text));
  config.validate();
  return config;
}

std::vector<std::string> sampler_texts(const std::string& text) {
  if (text != "all") return split(text, ',');
  std::vector<std::string> names;
  for (const auto& info : diffusion::samplers()) names.push_back(info.name);
  return names;
}

/// The most steps that need no more than `evaluations`; none where one step needs more.
std::optional<diffusion::SamplerConfig> with_evaluations(diffusion::SamplerConfig config,
                                                         int64_t evaluations) {
  for (config.steps = evaluations; config.steps >= 1; --config.steps) {
    if (config.method == "singlestep_fixed" && config.steps < config.order) break;
    if (diffusion::function_evaluations(config) <= evaluations) return config;
  }
  return std::nullopt;
}

/// The count is part of it: all that is in a folder is scored, and another count is another set.
std::string folder_name(std::string sampler, int64_t evaluations, int64_t count) {
  std::replace(sampler.begin(), sampler.end(), ':', '-');
  return fmt::format("{}-{}-evaluations-{}-pictures", sampler, evaluations, count);
}

/// The reference as statistics, made once for all points.
std::string reference_statistics(const SweepOptions& options, FidOptions fid) {
  if (metrics::source_kind(options.ref) == metrics::SourceKind::kStatistics) return options.ref;
  const auto training = read_run_config(RunDir(options.run));
  fid.images = options.ref;
  fid.dataset.image_size = image_size_of(training.encoders, training.model.input());
  fid.num_images = options.num_ref > 0
                       ? options.num_ref
                       : std::min(kReferenceImages,
                                  metrics::open_images(options.ref, fid.dataset).images->size());
  fid.save_stats = fs::path(options.out) / "reference.npz";
  run_fid(fid);
  return fid.save_stats;
}

std::string table_of(const json& sweep, const std::vector<int64_t>& columns) {
  std::vector<std::string> order;
  std::map<std::string, std::map<int64_t, json>> rows;
  for (const auto& point : sweep["points"]) {
    const auto name = point["sampler"].get<std::string>();
    if (rows.find(name) == rows.end()) order.push_back(name);
    rows[name][point["asked_evaluations"].get<int64_t>()] = point;
  }
  std::string table = fmt::format("| {} at evaluations: |", sweep["name"].get<std::string>());
  std::string rule = "|---|";
  for (const auto column : columns) table += fmt::format(" {} |", column), rule += "---|";
  table += "\n" + rule + "\n";
  for (const auto& name : order) {
    table += fmt::format("| `{}` |", name);
    for (const auto column : columns) {
      const auto found = rows[name].find(column);
      table += found == rows[name].end()
                   ? " |"
                   : fmt::format(" {} |", base::significant(found->second["distance"], 4));
    }
    table += "\n";
  }
  return table;
}

std::string plot_of(const json& sweep, const std::string& title) {
  LinePlot plot{title, "network evaluations for each image", sweep["name"], /*log_y=*/true, {}};
  plot.log_x = true;
  for (const auto& point : sweep["points"]) {
    const auto name = point["sampler"].get<std::string>();
    if (plot.series.empty() || plot.series.back().name != name) {
      plot.series.push_back({name, {}, {}});
      plot.series.back().colour = plot.series.size() - 1;
      plot.series.back().markers = true;
    }
    plot.series.back().x.push_back(point["evaluations"]);
    plot.series.back().y.push_back(point["distance"]);
  }
  return to_svg(plot, print_palette());
}

}  // namespace

void SweepOptions::validate() const {
  base::check_fields(*this);
  if (run.empty()) throw std::invalid_argument("--run: needed, the folder of the run");
  if (out.empty()) throw std::invalid_argument("--out: needed, a folder");
  formats::refuse_flag_as_path(out);
  parse_evaluations(evaluations);
  const auto texts = sampler_texts(samplers);
  if (texts.empty()) throw std::invalid_argument("--samplers: give at least one");
  for (const auto& text : texts) parse_sampler(text);
}

namespace {

FidOptions fid_options(const SweepOptions& options) {
  FidOptions fid;
  fid.extractor = options.extractor;
  fid.inception = options.inception;
  fid.device = options.device;
  fid.threads = options.threads;
  fid.ref = reference_statistics(options, fid);
  return fid;
}

SampleOptions sample_options(const SweepOptions& options,
                             const std::string& sampler,
                             int64_t budget,
                             const diffusion::SamplerConfig& config) {
  SampleOptions sample;
  sample.run = options.run;
  sample.out = fs::path(options.out) / "samples" / folder_name(sampler, budget, options.count);
  sample.seeds = fmt::format("0-{}", options.count - 1);
  sample.guidance.guidance_scale = options.guidance_scale;
  sample.sample = config;
  sample.batch_size = options.batch_size;
  sample.precision = options.precision;
  sample.device = options.device;
  sample.threads = options.threads;
  sample.overwrite = options.overwrite;
  return sample;
}

/// Throws std::invalid_argument where the run's network can't be sampled as asked.
void check_with_run(const SweepOptions& options) {
  RunDir(options.run).latest_weights();  // throws where there are none
  const auto training = read_run_config(RunDir(options.run));
  diffusion::GuidanceConfig guidance;
  guidance.guidance_scale = options.guidance_scale;
  check_guidance(guidance, training);
  for (const auto& text : sampler_texts(options.samplers))
    GenerationSettings{training.diffusion, parse_sampler(text), guidance}.validate();
}

/// Samples and scores one point and adds it to the sweep. False if a signal stopped it.
bool add_point(json& sweep,
               const SweepOptions& options,
               const std::string& text,
               int64_t budget,
               const diffusion::SamplerConfig& config,
               FidOptions fid) {
  const auto sample = sample_options(options, text, budget, config);
  if (!run_sample(sample)) return false;
  fid.images = sample.out;
  const auto scored = run_fid(fid);
  const auto& samples = scored.json.at("samples");
  sweep["name"] = scored.name;
  for (const auto* key : {"checkpoint_sha256", "images_seen", "precision"})
    sweep[key] = samples.at(key);
  for (const auto* key : {"extractor_sha256", "reference"}) sweep[key] = scored.json.at(key);
  const auto evaluations = diffusion::function_evaluations(config);
  sweep["points"].push_back({{"sampler", text},
                             {"asked_evaluations", budget},
                             {"evaluations", evaluations},
                             {"distance", scored.value},
                             {"images_per_sec", samples.value("images_per_sec", json())}});
  fmt::print(stderr,
             "{:<24} {:>4} evaluations  {} {}\n",
             text,
             evaluations,
             scored.name,
             base::significant(scored.value, 5));
  return true;
}

}  // namespace

json run_sweep(const SweepOptions& options) {
  options.validate();
  const fs::path out(options.out);
  check_with_run(options);
  formats::make_folder(out / "samples");
  const auto budgets = parse_evaluations(options.evaluations);
  const auto fid = fid_options(options);
  json sweep = {{"count", options.count},
                {"guidance_scale", options.guidance_scale},
                {"points", json::array()}};
  for (const auto& text : sampler_texts(options.samplers))
    for (const auto budget : budgets) {
      const auto config = with_evaluations(parse_sampler(text), budget);
      if (!config) continue;
      if (!add_point(sweep, options, text, budget, *config, fid)) return nullptr;
      formats::write_json(out / "sweep.json", sweep);
    }
  base::require(!sweep["points"].empty(),
                "--evaluations {}: too few for a step of any of these samplers",
                options.evaluations);
  formats::write_file_atomically(out / "sweep.md", table_of(sweep, budgets));
  formats::write_file_atomically(out / "sweep.svg",
                                 plot_of(sweep, fmt::format("{} images each", options.count)));
  return sweep;
}

void add_sweep_command(CLI::App& app) {
  auto options = std::make_shared<SweepOptions>();
  auto* command = app.add_subcommand(
      "sweep", "Fréchet distance against network evaluations, sampler by sampler");
  add_fields(*command, *options);
  command->callback([options] {
    json sweep;
    try {
      sweep = run_sweep(*options);
    } catch (const base::StopRequested&) {  // while scoring
    }
    if (sweep.is_null()) {
      fmt::print(stderr, "stopped; the same command goes on\n");
      return;
    }
    fmt::print("{}", table_of(sweep, parse_evaluations(options->evaluations)));
    fmt::print(stderr, "{}/sweep.svg\n", options->out);
  });
}

}  // namespace uvic::app
