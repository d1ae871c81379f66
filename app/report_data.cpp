#include "app/report_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>

#include "app/human.h"
#include "app/options.h"
#include "app/plot.h"
#include "app/run_dir.h"
#include "app/runtime.h"
#include "app/sample.h"
#include "app/significance.h"
#include "app/train.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr size_t kCurvePoints = 1000;
constexpr double kSignificance = 0.05;

json read_if_there(const fs::path& path) {
  return fs::exists(path) ? formats::read_json(path) : json();
}

std::optional<double> number(const json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number()) return std::nullopt;
  return object[key].get<double>();
}

json or_null(std::optional<double> value) { return value ? json(*value) : json(); }

/// One training run's losses and speeds over images and time; long ones as means of neighbouring
/// lines.
json curve_of(const std::vector<json>& stats) {
  json curve = json::object();
  size_t lines = 0;
  for (const auto* key :
       {"images_seen", "elapsed_sec", "loss", "lr", "grad_norm", "images_per_sec"}) {
    std::vector<double> values;
    for (const auto& line : stats)
      if (line.contains("loss")) values.push_back(number(line, key).value_or(std::nan("")));
    lines = values.size();
    curve[key] = thinned(values, kCurvePoints);  // NaN becomes null in JSON
  }
  curve["lines"] = lines;
  return curve;
}

/// Distances measured while the runs of one config trained, averaged over the runs, with the
/// training time of each.
json distances_of(const std::vector<std::vector<json>>& runs) {
  struct Measured {
    std::string name;
    std::vector<double> values, elapsed_sec;
  };
  std::map<int64_t, Measured> by_images;
  for (const auto& stats : runs) {
    double elapsed_sec = 0;
    for (const auto& line : stats) {
      elapsed_sec = number(line, "elapsed_sec").value_or(elapsed_sec);
      const auto distance = number(line, "distance");
      if (!distance) continue;
      auto& measured = by_images[line["images_seen"].get<int64_t>()];
      measured.name = line.value("distance_name", "FD");
      measured.values.push_back(*distance);
      measured.elapsed_sec.push_back(elapsed_sec);
    }
  }
  json distances = json::array();
  for (const auto& [images_seen, measured] : by_images)
    distances.push_back({{"images_seen", images_seen},
                         {"elapsed_sec", mean_of(measured.elapsed_sec)},
                         {"distance_name", measured.name},
                         {"distance", mean_of(measured.values)},
                         {"std_over_seeds", or_null(deviation_of(measured.values))}});
  return distances;
}

json cost_of(const std::vector<json>& stats) {
  std::vector<double> speeds, losses;
  double elapsed_sec = 0, memory_mib = 0, images_seen = 0;
  for (const auto& line : stats) {
    if (const auto speed = number(line, "images_per_sec"); speed && line.contains("loss"))
      speeds.push_back(*speed);
    if (const auto loss = number(line, "loss")) losses.push_back(*loss);
    elapsed_sec = std::max(elapsed_sec, number(line, "elapsed_sec").value_or(0));
    memory_mib = std::max(memory_mib, number(line, "memory_mib").value_or(0));
    images_seen = std::max(images_seen, number(line, "images_seen").value_or(0));
  }
  json cost = {
      {"images_seen", images_seen}, {"elapsed_sec", elapsed_sec}, {"memory_mib", memory_mib}};
  if (!speeds.empty()) {
    std::nth_element(
        speeds.begin(), speeds.begin() + static_cast<long>(speeds.size() / 2), speeds.end());
    cost["images_per_sec"] = speeds[speeds.size() / 2];
  }
  if (!losses.empty()) {  // one batch's loss says little; the last tenth of the run says where it
                          // stands
    const std::vector<double> last(losses.end() - static_cast<long>((losses.size() + 9) / 10),
                                   losses.end());
    cost["loss"] = mean_of(last);
  }
  return cost;
}

/// The options of a run by their dotted names.
json config_of(const fs::path& path) {
  TrainOptions options;
  read_toml(path, options, /*keep_unknown=*/true);
  json config = json::object();
  visit_leaves(options,
               [&](const std::string& name, auto& field, const char*) { config[name] = field; });
  return config;
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
          if (const auto value = number(other, "value")) values.push_back(*value);
    if (values.empty()) continue;
    metrics.push_back({{"name", name},
                       {"mean", mean_of(values)},
                       {"std_over_seeds", or_null(deviation_of(values))},
                       {"std_of_one_score", or_null(number(metric, "std"))},
                       {"values", values}});
  }
  return metrics;
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
  data["cost"] = cost_of(stats.front());
  data["distances"] = distances_of(stats);
  data["curves"] = json::array();
  for (const auto& one : stats) data["curves"].push_back(curve_of(one));
  return data;
}

// ---- what the numbers say ----------------------------------------------------------------

/// The first metric of the first entry that has one: what the verdict is about.
std::string primary_metric(const json& entries) {
  for (const auto& entry : entries)
    if (!entry["metrics"].empty()) return entry["metrics"][0]["name"];
  return "";
}

const json* metric_named(const json& entry, const std::string& name) {
  for (const auto& metric : entry["metrics"])
    if (metric["name"] == name) return &metric;
  return nullptr;
}

double standard_error_of_one(const json& metric) {
  return number(metric, "std_of_one_score").value_or(0);
}

/// The best entry against each other one.
json comparisons_of(const json& entries, const std::string& metric) {
  std::vector<std::pair<std::string, const json*>> scored;
  for (const auto& entry : entries)
    if (const auto* found = metric_named(entry, metric)) scored.emplace_back(entry["name"], found);
  if (scored.size() < 2) return json::array();
  const bool higher = higher_is_better(metric);
  std::stable_sort(scored.begin(), scored.end(), [&](const auto& a, const auto& b) {
    const double x = (*a.second)["mean"], y = (*b.second)["mean"];
    return higher ? x > y : x < y;
  });
  const auto& [best_name, best] = scored.front();
  const auto best_values = (*best)["values"].get<std::vector<double>>();
  json comparisons = json::array();
  std::vector<double> p;
  for (size_t i = 1; i < scored.size(); ++i) {
    const auto& [name, other] = scored[i];
    const auto values = (*other)["values"].get<std::vector<double>>();
    const double difference = (*other)["mean"].get<double>() - (*best)["mean"].get<double>();
    json comparison = {
        {"metric", metric}, {"better", best_name}, {"other", name}, {"difference", difference}};
    if (const auto p_value = welch_p(best_values, values)) {
      comparison["p"] = *p_value;
      comparison["test"] = "Welch's t-test over training seeds";
      p.push_back(*p_value);
    } else {
      const double error = std::hypot(standard_error_of_one(*best), standard_error_of_one(*other));
      comparison["p"] = nullptr;
      comparison["within_score_error"] =
          error > 0 ? json(std::abs(difference) < 2 * error) : json();
    }
    comparisons.push_back(comparison);
  }
  const auto adjusted = holm_adjusted(p);
  size_t tested = 0;
  for (auto& comparison : comparisons)
    if (!comparison["p"].is_null()) comparison["p_adjusted"] = adjusted[tested++];
  return comparisons;
}

struct Held {
  const char* name;
  json (*value)(const json& entry);
  double tolerance = 0;  ///< relative, for numbers
};

const Held kHeld[] = {
    {"training data", [](const json& e) { return value_at(e, "/run/data/fingerprint"); }},
    {"images seen", [](const json& e) { return value_at(e, "/cost/images_seen"); }},
    {"training seed", [](const json& e) { return value_at(e, "/config/seed"); }},
    {"batch size", [](const json& e) { return value_at(e, "/config/batch_size"); }},
    {"learning rate", [](const json& e) { return value_at(e, "/config/optimizer.lr"); }},
    {"parameters (within 2 %)", [](const json& e) { return value_at(e, "/run/parameters"); }, 0.02},
    {"precision", [](const json& e) { return value_at(e, "/run/precision"); }},
    {"sampler", [](const json& e) { return value_at(e, "/samples/sampler"); }},
    {"sampling steps", [](const json& e) { return value_at(e, "/samples/steps"); }},
    {"guidance", [](const json& e) { return value_at(e, "/samples/guidance_scale"); }},
    {"sample seeds", [](const json& e) { return value_at(e, "/samples/seeds"); }},
    {"feature network", [](const json& e) { return value_at(e, "/scores/0/extractor_sha256"); }},
    {"resize to the feature network",
     [](const json& e) { return value_at(e, "/scores/0/resize"); }},
    {"reference", [](const json& e) { return value_at(e, "/scores/0/reference"); }},
};

bool equal(const json& a, const json& b, double tolerance) {
  if (!a.is_number() || !b.is_number()) return a == b;
  const double x = a, y = b;
  return std::abs(x - y) <= tolerance * std::max(std::abs(x), std::abs(y));
}

/// What a fair comparison holds equal: {"name", "equal", "values"}; what no entry recorded is left
/// out.
json checks_of(const json& entries) {
  json checks = json::array();
  if (entries.size() < 2) return checks;
  for (const auto& held : kHeld) {
    json values = json::array();
    bool same = true, recorded = false;
    for (const auto& entry : entries) {
      values.push_back(held.value(entry));
      recorded = recorded || !values.back().is_null();
      same = same && equal(values.front(), values.back(), held.tolerance);
    }
    if (recorded) checks.push_back({{"name", held.name}, {"equal", same}, {"values", values}});
  }
  return checks;
}

/// What the scorers warned of, each warning once.
json warnings_of(const json& data) {
  std::set<std::string> warnings;
  const auto add = [&](const json& score) {
    if (score.contains("warnings"))
      for (const auto& warning : score["warnings"]) warnings.insert(warning.get<std::string>());
  };
  for (const auto& entry : data["entries"])
    for (const auto& score : entry["scores"]) add(score);
  for (const auto& baseline : data["baselines"]) add(baseline["score"]);
  return warnings;
}

/// Options in which the configs differ: {"name", "values"}.
json differences_of(const json& entries) {
  json differences = json::array();
  if (entries.empty() || entries.front()["config"].is_null()) return differences;
  for (const auto& [name, first] : entries.front()["config"].items()) {
    if (name == "out") continue;
    json values = json::array();
    for (const auto& entry : entries)
      values.push_back(entry["config"].is_null() ? json() : entry["config"].value(name, json()));
    if (std::any_of(values.begin(), values.end(), [&, &first = first](const json& value) {
          return value != first;
        }))
      differences.push_back({{"name", name}, {"values", values}});
  }
  return differences;
}

std::string with_spread(const json& metric) {
  return with_error(metric["mean"], number(metric, "std_over_seeds").value_or(0));
}

/// " On the same scale: real, held out 3.1; noise 250."
std::string baseline_sentence(const json& baselines, const std::string& metric) {
  std::string list;
  for (const auto& baseline : baselines)
    for (const auto& found : baseline["metrics"])
      if (found["name"] == metric)
        list += fmt::format("{}{} {}",
                            list.empty() ? "" : "; ",
                            baseline["name"].get<std::string>(),
                            significant(found["mean"]));
  return list.empty() ? "" : fmt::format(" On the same scale: {}.", list);
}

/// " It trains at 0.83 times the speed of U-ViT (images/s)."
std::string speed_sentence(const json& best, const json& other) {
  const auto speed = number(best["cost"], "images_per_sec"),
             reference = number(other["cost"], "images_per_sec");
  if (!speed || !reference || *reference <= 0) return "";
  return fmt::format(" {} trains at {:.2f} times the speed of {}.",
                     best["name"].get<std::string>(),
                     *speed / *reference,
                     other["name"].get<std::string>());
}

std::string verdict_of_one(const json& entry, const std::string& metric) {
  const auto& cost = entry["cost"];
  const auto after = fmt::format("after {} images", si_number(cost["images_seen"]));
  if (const auto* found = metric_named(entry, metric))
    return fmt::format("{} reaches {} {} {} ({} is better).",
                       entry["name"].get<std::string>(),
                       metric,
                       with_spread(*found),
                       after,
                       higher_is_better(metric) ? "higher" : "lower");
  return fmt::format(
      "{} {}: not scored, so judge by the pictures.", entry["name"].get<std::string>(), after);
}

/// The entry of that name; names are unique.
const json& entry_named(const json& entries, const std::string& name) {
  return *std::find_if(
      entries.begin(), entries.end(), [&](const json& entry) { return entry["name"] == name; });
}

std::string verdict_of_many(const json& entries,
                            const std::string& metric,
                            const json& comparisons) {
  if (comparisons.empty()) return "No two of these are scored, so judge by the pictures.";
  const auto& first = comparisons[0];
  const std::string better = first["better"], other = first["other"];
  const auto best = *metric_named(entry_named(entries, better), metric),
             next = *metric_named(entry_named(entries, other), metric);
  const auto numbers =
      fmt::format("{} {} against {}", metric, with_spread(best), with_spread(next));
  const std::string field = entries.size() > 2 ? "the next best, " + other : other;
  if (first["difference"] == 0)
    return fmt::format("{} and {} score the same: {}.", better, field, numbers);
  if (first["p"].is_null()) {
    if (first["within_score_error"] == true)
      return fmt::format("{} and {} are level: {} lies within the error of the score itself.",
                         better,
                         field,
                         numbers);
    return fmt::format(
        "{} scores better than {}, {} ({} % {}). With one training seed each, run-to-run noise is "
        "unknown: a hint, not yet a proof.",
        better,
        field,
        numbers,
        significant(100 * std::abs(first["difference"].get<double>() / next["mean"].get<double>()),
                    2),
        higher_is_better(metric) ? "higher" : "lower");
  }
  const double p = first["p_adjusted"];
  const size_t seeds = best["values"].size(), other_seeds = next["values"].size();
  const auto test = fmt::format("over {} training seeds{} (Welch's t-test, {})",
                                seeds == other_seeds ? fmt::format("{}", seeds)
                                                     : fmt::format("{} and {}", seeds, other_seeds),
                                seeds == other_seeds ? " each" : "",
                                p < 0.001 ? "p < 0.001" : fmt::format("p = {}", significant(p, 2)));
  if (p < kSignificance)
    return fmt::format("{} draws better pictures than {}: {} {}.", better, field, numbers, test);
  return fmt::format("No difference shown between {} and {}: {} is within the noise {}.",
                     better,
                     field,
                     numbers,
                     test);
}

}  // namespace

const json& value_at(const json& object, const char* pointer) {
  static const json kAbsent;
  const json::json_pointer path(pointer);
  return object.contains(path) ? object[path] : kAbsent;
}

bool higher_is_better(const std::string& metric) {
  static const std::set<std::string> kHigher = {
      "is", "inception score", "precision", "recall", "density", "coverage"};
  std::string lower = metric.substr(0, metric.find(" ("));
  std::transform(
      lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return kHigher.count(lower) > 0;
}

std::string attention_text(const std::string& attention, const std::string& placement) {
  if (attention == "softmax" || placement == "none") return "softmax";
  if (placement == "all") return attention + ", all blocks";
  if (placement == "inner") return attention + ", inner blocks";
  return fmt::format("{}, blocks {}", attention, placement);
}

std::vector<uint64_t> sample_seeds(const json& samples) {
  return samples.is_object() && samples.contains("seeds")
             ? parse_seeds(samples["seeds"].get<std::string>())
             : std::vector<uint64_t>();
}

json report_data(const std::string& title,
                 const std::vector<ReportEntry>& entries,
                 const std::vector<json>& baselines) {
  json data = {{"title", title},
               {"created", utc_now()},
               {"entries", json::array()},
               {"baselines", json::array()}};
  std::set<std::string> names;
  for (const auto& entry : entries) {
    if (!names.insert(entry.name).second)
      throw std::invalid_argument(
          fmt::format("report: two entries are named {}; give each its own name", entry.name));
    data["entries"].push_back(entry_data(entry));
  }
  for (const auto& baseline : baselines)
    data["baselines"].push_back({{"name", baseline.value("name", "baseline")},
                                 {"metrics", metrics_of({baseline})},
                                 {"score", baseline}});
  const auto metric = primary_metric(data["entries"]);
  data["primary_metric"] = metric;
  data["comparisons"] = comparisons_of(data["entries"], metric);
  data["held_equal"] = checks_of(data["entries"]);
  data["config_differences"] = differences_of(data["entries"]);
  std::string verdict = entries.empty() ? "Nothing to report."
                        : entries.size() == 1
                            ? verdict_of_one(data["entries"][0], metric)
                            : verdict_of_many(data["entries"], metric, data["comparisons"]);
  if (!metric.empty()) verdict += baseline_sentence(data["baselines"], metric);
  if (!data["comparisons"].empty()) {
    const auto& first = data["comparisons"][0];
    verdict += speed_sentence(entry_named(data["entries"], first["better"]),
                              entry_named(data["entries"], first["other"]));
  }
  data["verdict"] = verdict;
  data["warnings"] = warnings_of(data);
  return data;
}

}  // namespace uvic::app
