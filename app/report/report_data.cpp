#include "app/report/report_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>

#include "app/options/fields_json.h"
#include "app/options/options.h"
#include "app/report/attention_curves.h"
#include "app/report/plot.h"
#include "app/report/report_findings.h"
#include "app/report/sequence_numbers.h"
#include "app/report/significance.h"
#include "app/runs/run_config.h"
#include "app/runs/run_dir.h"
#include "app/runs/score_lines.h"
#include "app/sampling/sample_folder.h"
#include "app/sampling/seed_list.h"
#include "base/process.h"
#include "data/formats/atomic_file.h"
#include "data/formats/file_error.h"
#include "data/formats/json.h"
#include "data/formats/json_fields.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr size_t kCurvePoints = 1000;

json read_if_there(const fs::path& path) {
  return fs::exists(path) ? formats::read_json(path) : json();
}

json or_null(std::optional<double> value) { return value ? json(*value) : json(); }

/// The losses and speeds of one training run over images and time. Long curves are averaged over
/// ranges of lines.
json curve_of(const std::vector<json>& stats) {
  json curve = json::object();
  size_t lines = 0;
  for (const auto* key :
       {"images_seen", "elapsed_sec", "loss", "lr", "grad_norm", "images_per_sec"}) {
    std::vector<double> values;
    for (const auto& line : stats)
      if (line.contains("loss")) values.push_back(number_at(line, key).value_or(std::nan("")));
    lines = values.size();
    curve[key] = thinned(values, kCurvePoints);  // NaN becomes null in JSON
  }
  curve["lines"] = lines;
  return curve;
}

/// Distances during the training of the runs of one config, averaged over the runs, with their
/// training time.
json distances_of(const std::vector<std::vector<json>>& runs) {
  struct Measured {
    std::string name;
    std::vector<double> values, errors, elapsed_sec;
  };
  std::map<int64_t, Measured> by_images;
  for (const auto& stats : runs) {
    const auto last = comparable_scores(stats);
    double elapsed_sec = 0;
    for (const auto& line : stats) {
      elapsed_sec = number_at(line, "elapsed_sec").value_or(elapsed_sec);
      const auto distance = number_at(line, "distance");
      if (!distance || !scores_compare(line, last.back())) continue;
      auto& measured = by_images[line["images_seen"].get<int64_t>()];
      measured.name = formats::text_field(line, "distance_name", "FD", "stats.jsonl");
      measured.values.push_back(*distance);
      if (const auto error = number_at(line, "distance_std")) measured.errors.push_back(*error);
      measured.elapsed_sec.push_back(elapsed_sec);
    }
  }
  json distances = json::array();
  for (const auto& [images_seen, measured] : by_images)
    distances.push_back(
        {{"images_seen", images_seen},
         {"elapsed_sec", mean_of(measured.elapsed_sec)},
         {"distance_name", measured.name},
         {"distance", mean_of(measured.values)},
         {"std_over_seeds", or_null(std_of(measured.values))},
         {"std_of_one_score", measured.errors.size() == 1 ? json(measured.errors[0]) : json()}});
  return distances;
}

/// Speed is the median over all lines of all runs; training time and loss are means over the runs.
json cost_of(const std::vector<std::vector<json>>& runs) {
  std::vector<double> speeds, losses, times;
  double memory_mib = 0, images_seen = 0;
  for (const auto& stats : runs) {
    std::vector<double> own_losses;
    double elapsed_sec = 0;
    for (const auto& line : stats) {
      if (const auto speed = number_at(line, "images_per_sec"); speed && line.contains("loss"))
        speeds.push_back(*speed);
      if (const auto loss = number_at(line, "loss")) own_losses.push_back(*loss);
      elapsed_sec = std::max(elapsed_sec, number_at(line, "elapsed_sec").value_or(0));
      memory_mib = std::max(memory_mib, number_at(line, "memory_mib").value_or(0));
      images_seen = std::max(images_seen, number_at(line, "images_seen").value_or(0));
    }
    times.push_back(elapsed_sec);
    // The loss of one batch is noisy, so the loss is averaged over the last tenth of the run.
    if (!own_losses.empty())
      losses.push_back(mean_of(
          {own_losses.end() - static_cast<long>((own_losses.size() + 9) / 10), own_losses.end()}));
  }
  json cost = {{"images_seen", images_seen},
               {"elapsed_sec", times.empty() ? 0 : mean_of(times)},
               {"memory_mib", memory_mib}};
  if (!speeds.empty()) {
    std::sort(speeds.begin(), speeds.end());
    cost["images_per_sec"] = speeds[speeds.size() / 2];
    cost["images_per_sec_quartiles"] = {speeds[speeds.size() / 4], speeds[speeds.size() * 3 / 4]};
  }
  if (!losses.empty()) {
    cost["loss"] = mean_of(losses);
    cost["loss_std_over_seeds"] = or_null(std_of(losses));
  }
  return cost;
}

/// The direction that a score states. Older scores do not state it; then it follows from the name
/// of the metric.
json direction_of(const json& metric) {
  if (metric.contains("higher_is_better")) return metric["higher_is_better"];
  const auto name = metric.value("name", "FD");
  const auto begins = [&](const char* word) { return name.rfind(word, 0) == 0; };
  for (const auto* word : {"IS", "precision", "recall", "density", "coverage"})
    if (begins(word)) return true;
  for (const auto* word : {"FD", "FID", "sFID", "KID", "KD"})
    if (begins(word)) return false;
  return nullptr;
}

/// The options of a run by their dotted names.
json config_of(const fs::path& path) {
  RunConfig options;
  read_toml(path, options, /*keep_unknown=*/true);
  return fields_json(options);
}

json metrics_of(const std::vector<json>& scores) {
  json metrics = json::array();
  if (scores.empty() || !scores.front().contains("metrics")) return metrics;
  for (const auto& metric : scores.front()["metrics"]) {
    const auto name = metric.value("name", "FD");
    std::vector<double> values;
    for (const auto& score : scores)
      for (const auto& other : score.value("metrics", json::array()))
        if (other.value("name", "FD") == name)
          if (const auto value = number_at(other, "value")) values.push_back(*value);
    if (values.empty()) continue;
    metrics.push_back({{"name", name},
                       {"mean", mean_of(values)},
                       {"std_over_seeds", or_null(std_of(values))},
                       {"std_of_one_score", or_null(number_at(metric, "std"))},
                       {"how", metric.value("how", "")},
                       {"higher_is_better", direction_of(metric)},
                       {"values", values}});
  }
  return metrics;
}

/// The training seed of each score; empty where it is not known of all.
json seeds_of(const ReportEntry& entry) {
  if (entry.scores.size() != entry.repeats.size() + 1) return json::array();
  std::vector<fs::path> runs = {entry.run};
  runs.insert(runs.end(), entry.repeats.begin(), entry.repeats.end());
  json seeds = json::array();
  for (const auto& run : runs) {
    const auto path = RunDir(run).config();
    if (!fs::exists(path)) return json::array();
    seeds.push_back(config_of(path)["seed"]);
  }
  return seeds;
}

json entry_data(const ReportEntry& entry) {
  json data = {
      {"name", entry.name}, {"scores", entry.scores}, {"metrics", metrics_of(entry.scores)}};
  data["samples"] = entry.samples.empty() ? json() : read_if_there(entry.samples / "samples.json");
  data["samples_folder"] = entry.samples.string();
  const RunDir run(entry.run);
  data["run"] = read_if_there(run.provenance());
  data["neighbours"] = entry.neighbours;
  data["run_folder"] = entry.run.string();
  data["config"] = fs::exists(run.config()) ? config_of(run.config()) : json();
  data["config_toml"] = fs::exists(run.config()) ? formats::read_file(run.config()) : "";
  std::vector<std::vector<json>> stats = {run.read_stats()};
  for (const auto& repeat : entry.repeats) stats.push_back(RunDir(repeat).read_stats());
  if (!entry.scores.empty() && entry.scores.front().contains("length")) {  // of sequences
    const auto& score = entry.scores.front();
    data["tokens_per_sequence"] = score.value("trained_length", score["length"]);
  }
  data["complexity"] = accuracy_by_complexity(entry.scores);
  data["held_out"] = held_out_curve(stats);
  data["seeds"] = seeds_of(entry);
  data["cost"] = cost_of(stats);
  // A run without a log, as of uvic compress, says in its record how far its weights were trained.
  if (data["cost"]["images_seen"] == 0)
    data["cost"]["images_seen"] = number_at(data["run"], "images_seen").value_or(0);
  data["distances"] = distances_of(stats);
  data["attention"] = attention_curves(stats);
  data["curves"] = json::array();
  for (const auto& one : stats) data["curves"].push_back(curve_of(one));
  return data;
}

}  // namespace

std::optional<double> number_at(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number()) return std::nullopt;
  return object[key].get<double>();
}

const json& value_at(const json& object, const char* pointer) {
  static const json kAbsent;
  const json::json_pointer path(pointer);
  return object.contains(path) ? object[path] : kAbsent;
}

std::string attention_text(const std::string& attention, const std::string& placement) {
  if (attention == "softmax" || placement == "none") return "softmax";
  if (placement == "all") return attention + ", all blocks";
  if (placement == "inner") return attention + ", inner blocks";
  return fmt::format("{}, blocks {}", attention, placement);
}

std::vector<uint64_t> sample_seeds(const json& samples) {
  constexpr uint64_t kMost = 100'000;  // more than a report shows
  const auto seeds = formats::text_field(samples, "seeds", "", "samples.json");
  try {
    return seeds.empty() ? std::vector<uint64_t>() : SeedList::parse(seeds).slice(0, kMost);
  } catch (const std::invalid_argument&) {
    throw formats::file_error("samples.json", "\"seeds\": no list of seeds");
  }
}

json report_data(const std::string& title,
                 const std::vector<ReportEntry>& entries,
                 const std::vector<json>& baselines,
                 const std::string& baseline_column) {
  json data = {{"title", title},
               {"baseline_column", baseline_column},
               {"created", base::utc_now()},
               {"entries", json::array()},
               {"baselines", json::array()}};
  std::set<std::string> names;
  for (const auto& entry : entries) {
    if (!names.insert(entry.name).second)
      throw std::invalid_argument(
          fmt::format("report: two entries are named {}; give them different names", entry.name));
    data["entries"].push_back(entry_data(entry));
  }
  for (const auto& baseline : baselines)
    data["baselines"].push_back({{"name", baseline.value("name", "baseline")},
                                 {"metrics", metrics_of({baseline})},
                                 {"score", baseline}});
  add_findings(data);
  return data;
}

}  // namespace uvic::app
