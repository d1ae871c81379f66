#include "app/report/report_findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "app/report/column_tests.h"
#include "app/report/report_data.h"
#include "app/report/sequence_numbers.h"
#include "base/text_format.h"

namespace uvic::app {
using nlohmann::json;

namespace {

/// The metric of the verdict: the first metric of the first scored entry.
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

/// Every metric of any entry, in order of appearance.
std::vector<std::string> metric_names(const json& entries) {
  std::vector<std::string> names;
  for (const auto& entry : entries)
    for (const auto& metric : entry["metrics"])
      if (const std::string name = metric["name"];
          std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(name);
  return names;
}

/// Which sequences were scored: null of images, a list where the scores of an entry differ.
json scored_sequences(const json& entry) {
  if (on_same_sequences(entry, entry)) return value_at(entry, "/scores/0/examples");
  json all = json::array();
  for (const auto& score : entry["scores"]) all.push_back(value_at(score, "/examples"));
  return all;
}

/// A setting that a fair comparison keeps equal.
struct Setting {
  const char* name;
  json (*value)(const json& entry);
  double tolerance = 0;  ///< relative, for numbers
};

const Setting kSettings[] = {
    {"training data", [](const json& e) { return value_at(e, "/run/data/fingerprint"); }},
    {"images seen",
     [](const json& e) { return is_of_sequences(e) ? json() : value_at(e, "/cost/images_seen"); }},
    {"tokens seen",
     [](const json& e) {
       if (!is_of_sequences(e)) return json();
       return json(counted_per_example(e) * number_at(e["cost"], "images_seen").value_or(0));
     }},
    {"vocabulary", [](const json& e) { return value_at(e, "/scores/0/vocabulary"); }},
    {"scored sequences", scored_sequences},
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

/// The settings that a fair comparison keeps equal: {"name", "equal", "values"}. Settings that no
/// entry recorded are left out.
json checks_of(const json& entries) {
  json checks = json::array();
  if (entries.size() < 2) return checks;
  for (const auto& setting : kSettings) {
    json values = json::array();
    bool same = true, recorded = false;
    for (const auto& entry : entries) {
      values.push_back(setting.value(entry));
      recorded = recorded || !values.back().is_null();
      same = same && equal(values.front(), values.back(), setting.tolerance);
    }
    if (recorded) checks.push_back({{"name", setting.name}, {"equal", same}, {"values", values}});
  }
  return checks;
}

/// The warnings of the scores, without duplicates.
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

std::string with_std(const json& metric) {
  return base::with_error(metric["mean"], number_at(metric, "std_over_seeds").value_or(0));
}

std::string with_own_error(const json& metric) {
  return base::with_error(metric["mean"], number_at(metric, "std_of_one_score").value_or(0));
}

/// " On the same scale: real, held out 3.1 ± 0.2; noise 250": of a single score its own error,
/// where it has one.
std::string baseline_sentence(const json& baselines, const std::string& metric) {
  std::string list;
  for (const auto& baseline : baselines)
    for (const auto& found : baseline["metrics"])
      if (found["name"] == metric)
        list += fmt::format("{}{} {}",
                            list.empty() ? "" : "; ",
                            baseline["name"].get<std::string>(),
                            with_own_error(found));
  return list.empty() ? "" : fmt::format(" On the same scale: {}.", list);
}

/// " (lower is better)", or nothing if the direction is not known.
std::string direction_text(const json& entries, const std::string& metric) {
  const auto higher = higher_is_better(entries, metric);
  return higher ? fmt::format(" ({} is better)", *higher ? "higher" : "lower") : "";
}

std::string verdict_of_one(const json& entries, const std::string& metric) {
  const auto& entry = entries[0];
  const auto& cost = entry["cost"];
  const auto after =
      fmt::format("after {} {}",
                  base::si_number(counted_per_example(entry) * cost["images_seen"].get<double>()),
                  counted_name(entries));
  if (const auto* found = metric_named(entry, metric))
    return fmt::format("{} reaches {} {} {}{}.",
                       entry["name"].get<std::string>(),
                       metric,
                       with_std(*found),
                       after,
                       direction_text(entries, metric));
  return fmt::format("{} {} is not scored.{}",
                     entry["name"].get<std::string>(),
                     after,
                     is_of_sequences(entry) ? "" : " Compare the images.");
}

/// " Different settings: images seen, sampler."
std::string unequal_sentence(const json& checks) {
  std::string list;
  for (const auto& check : checks)
    if (check["equal"] == false)
      list += (list.empty() ? "" : ", ") + check["name"].get<std::string>();
  return list.empty() ? "" : fmt::format(" Different settings: {}.", list);
}

}  // namespace

std::optional<bool> higher_is_better(const json& entries, const std::string& metric) {
  for (const auto& entry : entries)
    if (const auto* found = metric_named(entry, metric);
        found && found->contains("higher_is_better") && (*found)["higher_is_better"].is_boolean())
      return (*found)["higher_is_better"].get<bool>();
  return std::nullopt;
}

void add_findings(json& data) {
  const auto& entries = data["entries"];
  const auto metric = primary_metric(entries);
  data["primary_metric"] = metric;
  const std::string baseline = data.value("baseline_column", "");
  data["comparisons"] = column_tests(entries, metric, baseline);
  data["significance"] = json::object();
  for (const auto& name : metric_names(entries))
    if (const auto found = column_tests(entries, name, baseline); !found.empty())
      data["significance"][name] = found;
  data["held_equal"] = checks_of(entries);
  data["config_differences"] = differences_of(entries);
  data["warnings"] = warnings_of(data);
  std::string verdict = entries.empty() ? "Nothing to report."
                        : entries.size() == 1
                            ? verdict_of_one(entries, metric)
                            : tests_text(entries, metric, baseline, data["comparisons"]);
  verdict += unequal_sentence(data["held_equal"]);
  if (!metric.empty()) verdict += baseline_sentence(data["baselines"], metric);
  data["verdict"] = verdict;
}

}  // namespace uvic::app
