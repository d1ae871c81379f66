#include "app/commands/sweep_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <sstream>
#include <stdexcept>

#include "app/options/options.h"
#include "app/runs/checkpoint_list.h"
#include "app/runs/network_source.h"
#include "app/runs/read_options.h"
#include "app/runs/run_dir.h"
#include "app/sampling/generate.h"
#include "base/check.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

constexpr const char* kEvaluations = "5,10,20,50";
constexpr const char* kOwnSampler = "the run's";

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

template <class Number>
std::optional<Number> number_of(const std::string& word) {
  Number number{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return number;
}

std::vector<int64_t> parse_evaluations(const std::string& text) {
  std::vector<int64_t> counts;
  for (const auto& word : split(text, ',')) {
    const auto count = number_of<int64_t>(word);
    base::require(count && *count >= 1 && *count <= 100000,
                  "--evaluations {}: wants counts, such as 5,10,20",
                  text);
    counts.push_back(*count);
  }
  base::require(!counts.empty(), "--evaluations: give at least one count");
  return counts;
}

struct Interval {
  double low = 0, high = 0;
};

Interval parse_interval(const std::string& text) {
  const auto dash = text.find('-');
  const auto low = number_of<double>(text.substr(0, dash));
  const auto high = number_of<double>(dash == std::string::npos ? "" : text.substr(dash + 1));
  const Interval interval{low.value_or(-1), high.value_or(-1)};
  base::require(interval.low >= 0 && interval.high > interval.low,
                "--guidance_interval {}: wants LOW-HIGH with LOW < HIGH, such as 0-1,0.2-0.8",
                text);
  return interval;
}

/// What --samplers names; "": those that a sweep compares by default.
std::vector<std::string> sampler_texts(const std::string& text) {
  if (!text.empty() && text != "all") return split(text, ',');
  std::vector<std::string> names;
  for (const auto& info : diffusion::samplers())
    if (!text.empty() || info.in_sweep) names.push_back(info.name);
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

bool sweeps_something_else(const SweepOptions& options) {
  return !options.guidance_scale.empty() || !options.guidance_interval.empty() ||
         options.checkpoints != "latest";
}

}  // namespace

std::vector<double> parse_scales(const std::string& text) {
  std::vector<double> scales;
  for (const auto& word : split(text, ',')) {
    const auto scale = number_of<double>(word);
    base::require(scale && std::abs(*scale) <= 1000,
                  "--guidance_scale {}: wants numbers, such as 1,1.5,2",
                  text);
    scales.push_back(*scale);
  }
  return scales;
}

diffusion::SamplerConfig parse_sampler(const std::string& text) {
  diffusion::SamplerConfig config;
  const auto parts = split(text, ':');
  config.sampler = parts.empty() ? "" : parts[0];
  assign({parts.begin() + std::min<std::ptrdiff_t>(1, static_cast<std::ptrdiff_t>(parts.size())),
          parts.end()},
         fmt::format("--samplers {}", text),
         config);
  base::require(
      config.method != "adaptive", "--samplers {}: its evaluations can't be chosen", text);
  config.validate();
  return config;
}

void check_sweep(const SweepOptions& options) {
  base::check_fields(options);
  base::require(!options.run.empty(), "--run is missing; give the folder of the run");
  base::require(!options.out.empty(), "--out is missing; give a folder");
  parse_evaluations(options.evaluations.empty() ? kEvaluations : options.evaluations);
  parse_scales(options.guidance_scale);
  for (const auto& interval : split(options.guidance_interval, ',')) parse_interval(interval);
  check_checkpoint_list(options.checkpoints);
  const auto texts = sampler_texts(options.samplers);
  for (const auto& text : texts) parse_sampler(text);
  base::require(options.first_seed + options.count <= 4294967296,
                "--first_seed {} and --count {}: seeds end at 4294967295",
                options.first_seed,
                options.count);
}

SweepAxes sweep_axes(const SweepOptions& options, const RunConfig& training) {
  SweepAxes axes;
  const bool else_swept = sweeps_something_else(options);
  if (options.samplers.empty() && else_swept)
    axes.samplers = {kOwnSampler};
  else
    axes.samplers = sampler_texts(options.samplers);
  if (options.evaluations.empty() && else_swept && training.sample.method != "adaptive")
    axes.evaluations = {diffusion::function_evaluations(training.sample)};
  else
    axes.evaluations =
        parse_evaluations(options.evaluations.empty() ? kEvaluations : options.evaluations);
  axes.scales = parse_scales(options.guidance_scale);
  if (axes.scales.empty()) axes.scales = {training.guidance.guidance_scale};
  axes.intervals = split(options.guidance_interval, ',');
  if (axes.intervals.empty()) axes.intervals = {""};
  for (const auto& file : chosen_checkpoints(RunDir(options.run), options.checkpoints))
    axes.checkpoints.emplace_back(file.images_seen, file.path);
  return axes;
}

std::vector<std::string> sweep_notes(const SweepOptions& options, const SweepAxes& axes) {
  std::vector<std::string> notes;
  const auto add = [&](const std::string& option, const std::string& why) {
    if (!why.empty()) notes.push_back(fmt::format("{} is not read: {}", option, why));
  };
  for (const auto& sampler : axes.samplers) {
    if (sampler == kOwnSampler) continue;
    const auto known = known_options(parse_sampler(sampler));
    const auto parts = split(sampler, ':');
    for (size_t i = 1; i < parts.size(); ++i) {
      const auto option = assigned_option(parts[i]);
      add(fmt::format("--samplers {}: {}", sampler, option),
          option == "steps" ? "it follows from --evaluations" : missing_reader(option, known));
    }
  }
  const bool guides =
      std::any_of(axes.scales.begin(), axes.scales.end(), [](double scale) { return scale != 1; });
  if (!options.guidance_interval.empty() && !guides)
    add("--guidance_interval", "it needs --guidance_scale other than 1");
  if (!options.inception.empty())
    add("--inception", missing_reader("inception", known_options(options)));
  return notes;
}

std::vector<SweepPoint> sweep_points(const SweepAxes& axes, const RunConfig& training) {
  std::vector<SweepPoint> points;
  for (const auto& [images_seen, weights] : axes.checkpoints)
    for (const auto scale : axes.scales)
      for (const auto& interval : axes.intervals) {
        // No guidance is the same in every interval.
        if (scale == 1 && interval != axes.intervals.front()) continue;
        auto guidance = training.guidance;
        guidance.guidance_scale = scale;
        if (!interval.empty()) {
          const auto [low, high] = parse_interval(interval);
          guidance.guidance_t_low = low, guidance.guidance_t_high = high;
        }
        check_guidance(guidance, training);
        for (const auto& sampler : axes.samplers)
          for (const auto budget : axes.evaluations) {
            const auto own = sampler == kOwnSampler;
            const auto config =
                with_evaluations(own ? training.sample : parse_sampler(sampler), budget);
            if (!config) continue;
            GenerationSettings{training.diffusion, *config, guidance}.validate();
            points.push_back({own ? training.sample.sampler : sampler,
                              budget,
                              *config,
                              guidance,
                              interval,
                              images_seen,
                              weights});
          }
      }
  std::string budgets;
  for (const auto budget : axes.evaluations)
    budgets += (budgets.empty() ? "" : ",") + std::to_string(budget);
  base::require(
      !points.empty(), "--evaluations {}: too few for a step of any of these samplers", budgets);
  return points;
}

}  // namespace uvic::app
