#include "app/report/column_tests.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <vector>

#include "app/report/report_data.h"
#include "app/report/report_findings.h"
#include "app/report/sequence_numbers.h"
#include "app/report/significance.h"
#include "base/text_format.h"
#include "metrics/frechet.h"

namespace uvic::app {
using nlohmann::json;
namespace {

constexpr double kTestLevel = 0.05;

/// A scored column.
struct ScoredColumn {
  std::string name;
  const json* entry;
  const json* metric;
  std::vector<double> values;
  std::vector<int64_t> seeds;  ///< of the values; empty: not known
};

std::vector<ScoredColumn> columns_of(const json& entries, const std::string& metric) {
  std::vector<ScoredColumn> columns;
  for (const auto& entry : entries)
    for (const auto& found : entry["metrics"]) {
      if (found["name"] != metric) continue;
      ScoredColumn column{
          entry["name"], &entry, &found, found["values"].get<std::vector<double>>(), {}};
      if (const auto seeds = entry.find("seeds");
          seeds != entry.end() && seeds->size() == column.values.size())
        column.seeds = seeds->get<std::vector<int64_t>>();
      columns.push_back(std::move(column));
    }
  return columns;
}

/// The values of `of` in the order of the seeds of `against`, where both have the same seeds.
std::optional<std::vector<double>> aligned(const ScoredColumn& of, const ScoredColumn& against) {
  if (of.seeds.empty() || of.seeds.size() != against.seeds.size()) return std::nullopt;
  std::vector<double> values;
  for (const auto seed : against.seeds) {
    const auto at = std::find(of.seeds.begin(), of.seeds.end(), seed);
    if (at == of.seeds.end() || std::count(of.seeds.begin(), of.seeds.end(), seed) != 1)
      return std::nullopt;
    values.push_back(of.values[static_cast<size_t>(at - of.seeds.begin())]);
  }
  return values;
}

/// The standard error of the difference of two single scores; 0 where it is not known.
std::pair<double, bool> score_error(const ScoredColumn& of, const ScoredColumn& against) {
  const auto leave_out = [&](const ScoredColumn& column) {
    const auto& metrics = value_at(*column.entry, "/scores/0/metrics");
    for (const auto& metric : metrics)
      if (metric.value("name", "") == column.metric->value("name", ""))
        return metric.value("leave_out", json::array()).get<std::vector<double>>();
    return std::vector<double>();
  };
  // Of images the seeds of the samples, of sequences which of them were scored.
  const auto seeds = [](const ScoredColumn& column) {
    const auto& sequences = value_at(*column.entry, "/scores/0/examples");
    return sequences.is_null() ? value_at(*column.entry, "/samples/seeds") : sequences;
  };
  const auto a = leave_out(of), b = leave_out(against);
  if (!a.empty() && a.size() == b.size() && !seeds(of).is_null() && seeds(of) == seeds(against)) {
    std::vector<double> without(a.size());
    for (size_t k = 0; k < a.size(); ++k) without[k] = a[k] - b[k];
    return {metrics::jackknife(of.values[0] - against.values[0], without).std, true};
  }
  const auto std = [](const ScoredColumn& column) {
    return number_at(*column.metric, "std_of_one_score").value_or(0);
  };
  return {std::hypot(std(of), std(against)), false};
}

json pair_of(double low, double high) { return json::array({low, high}); }

json test_of(const ScoredColumn& of, const ScoredColumn& against, bool higher) {
  const double difference = mean_of(of.values) - mean_of(against.values);
  json test = {{"of", of.name},
               {"against", against.name},
               {"better", nullptr},
               {"difference", difference},
               {"p", nullptr}};
  if (difference != 0) test["better"] = (difference > 0) == higher ? of.name : against.name;
  const auto same_seeds = aligned(of, against);
  const auto found = same_seeds ? paired_difference(against.values, *same_seeds)
                                : welch_difference(against.values, of.values);
  if (!found) {
    const auto [error, paired] = score_error(of, against);
    test["error"] = error > 0 ? json(error) : json();
    test["paired"] = paired;
    test["within_score_error"] = error > 0 ? json(std::abs(difference) < 2 * error) : json();
    return test;
  }
  test["p"] = found->p;
  test["interval"] = pair_of(found->interval.first, found->interval.second);
  test["freedom"] = found->freedom;
  test["error"] = found->error;
  test["paired"] = found->paired;
  test["test"] =
      found->paired ? "paired t-test over training seeds" : "Welch's t-test over training seeds";
  test["effect"] = found->effect ? json(*found->effect) : json();
  test["effect_interval"] =
      found->effect ? pair_of(found->effect_interval.first, found->effect_interval.second) : json();
  return test;
}

/// p_adjusted and detectable, which depend on the number of tests.
void correct(json& tests) {
  std::vector<double> p;
  for (const auto& test : tests)
    if (!test["p"].is_null()) p.push_back(test["p"]);
  const auto adjusted = holm_adjusted(p);
  size_t i = 0;
  for (auto& test : tests) {
    if (test["p"].is_null()) continue;
    test["p_adjusted"] = adjusted[i++];
    MeanDifference seen;
    seen.error = test["error"];
    seen.freedom = test["freedom"];
    test["detectable"] = detectable_difference(seen, kTestLevel / static_cast<double>(p.size()));
  }
}

std::string p_text(double p) {
  return p < 0.001 ? "p < 0.001" : fmt::format("p = {}", base::significant(p, 2));
}

std::string with_deviation(const json& metric) {
  return base::with_error(metric["mean"], number_at(metric, "std_over_seeds").value_or(0));
}

std::string interval_text(const json& interval) {
  return fmt::format(
      "{} to {}", base::significant(interval[0], 3), base::significant(interval[1], 3));
}

const json& metric_of(const json& entries, const std::string& name, const std::string& metric) {
  for (const auto& entry : entries)
    if (entry["name"] == name)
      for (const auto& found : entry["metrics"])
        if (found["name"] == metric) return found;
  throw std::logic_error("a tested column without the metric");
}

/// "3 training seeds each", "3 and 2 training seeds".
std::string seeds_text(const json& of, const json& against) {
  const auto a = of["values"].size(), b = against["values"].size();
  return a == b ? fmt::format("{} training seeds each", a)
                : fmt::format("{} and {} training seeds", a, b);
}

/// "With 3 training seeds each, true differences below 4.1 are missed more often than in 1 of 5
/// repetitions."
std::string detectable_text(const json& tests, const std::string& seeds) {
  double most = 0;
  for (const auto& test : tests) most = std::max(most, number_at(test, "detectable").value_or(0));
  if (most == 0) return "";
  return fmt::format(
      " With {}, a true difference below {} is missed in more than 1 of 5 repetitions.",
      seeds,
      base::significant(most, 2));
}

/// What one test says.
std::string text_of_one(const json& entries,
                        const std::string& metric,
                        const json& test,
                        bool alone) {
  const std::string of = test["of"], against = test["against"];
  const bool of_is_better = test["better"].is_null() || test["better"] == of;
  const auto &better = of_is_better ? of : against, &other = of_is_better ? against : of;
  const auto &best = metric_of(entries, better, metric), &next = metric_of(entries, other, metric);
  const auto numbers =
      fmt::format("{} {} against {}", metric, with_deviation(best), with_deviation(next));
  const double difference = test["difference"];
  if (difference == 0)
    return fmt::format("{} and {} have the same score: {}.", better, other, numbers);
  if (test["p"].is_null()) {
    if (test["within_score_error"] == true)
      return fmt::format(
          "No measurable difference between {} and {}: {}. The difference is less than two "
          "standard errors of the difference of two scores.",
          better,
          other,
          numbers);
    return fmt::format(
        "{} scores better than {}: {} ({} % {}).{}",
        better,
        other,
        numbers,
        base::significant(100 * std::abs(difference / next["mean"].get<double>()), 2),
        higher_is_better(entries, metric) == true ? "higher" : "lower",
        alone ? " With one training seed each, the variation between training seeds "
                "is unknown."
              : "");
  }
  const double p = test["p_adjusted"];
  return fmt::format("{} {}: {} over {} ({}, {}; difference {}, 95 % interval {}).",
                     p < kTestLevel
                         ? better + " scores better than"
                         : fmt::format("No significant difference between {} and", better),
                     other,
                     numbers,
                     seeds_text(best, next),
                     test["paired"] == true ? "paired t-test" : "Welch's t-test",
                     p_text(p),
                     base::significant(difference, 3),
                     interval_text(test["interval"]));
}

/// The verdict where nothing is tested.
std::string untested_text(const json& entries,
                          const std::string& metric,
                          const std::string& baseline) {
  if (std::none_of(entries.begin(), entries.end(), is_of_sequences))
    return "Fewer than two entries are scored. Compare the images.";
  if (columns_of(entries, metric).size() < 2) return "Fewer than two entries are scored.";
  return baseline.empty()
             ? "No two columns are scored on the same sequences, so none is tested."
             : fmt::format("No column is scored on the sequences of {}, so none is tested.",
                           baseline);
}

}  // namespace

bool on_same_sequences(const json& a, const json& b) {
  const auto& first = value_at(a, "/scores/0/examples");
  for (const auto* entry : {&a, &b})
    for (const auto& score : value_at(*entry, "/scores"))
      if (value_at(score, "/examples") != first) return false;
  return true;
}

bool all_on_same_sequences(const json& entries) {
  const json* first = nullptr;
  for (const auto& entry : entries) {
    if (value_at(entry, "/scores").empty()) continue;
    if (!first) first = &entry;
    if (!on_same_sequences(*first, entry)) return false;
  }
  return true;
}

json column_tests(const json& entries, const std::string& metric, const std::string& baseline) {
  json tests = json::array();
  const auto columns = columns_of(entries, metric);
  if (!baseline.empty() && std::none_of(entries.begin(), entries.end(), [&](const json& entry) {
        return entry["name"] == baseline;
      })) {
    std::string names;
    for (const auto& entry : entries)
      names += (names.empty() ? "" : ", ") + entry["name"].get<std::string>();
    throw std::invalid_argument(
        fmt::format("--baseline {}: no such column; give one of {}", baseline, names));
  }
  const auto direction = higher_is_better(entries, metric);
  if (columns.size() < 2 || !direction) return tests;
  for (size_t i = 0; i < columns.size(); ++i)
    for (size_t j = i + 1; j < columns.size(); ++j) {
      if (!on_same_sequences(*columns[i].entry, *columns[j].entry)) continue;
      if (baseline.empty() || columns[i].name == baseline)
        tests.push_back(test_of(columns[j], columns[i], *direction));
      else if (columns[j].name == baseline)
        tests.push_back(test_of(columns[i], columns[j], *direction));
    }
  correct(tests);
  return tests;
}

std::string tests_text(const json& entries,
                       const std::string& metric,
                       const std::string& baseline,
                       const json& tests) {
  if (tests.empty()) return untested_text(entries, metric, baseline);
  const auto seeds = [&](const json& test) {
    return seeds_text(metric_of(entries, test["of"], metric),
                      metric_of(entries, test["against"], metric));
  };
  if (tests.size() == 1)
    return text_of_one(entries, metric, tests[0], true) + detectable_text(tests, seeds(tests[0]));
  std::string significant, text;
  size_t count = 0, tested = 0;
  for (const auto& test : tests) {
    if (test["p"].is_null()) continue;
    ++tested;
    if (test["p_adjusted"].get<double>() >= kTestLevel) continue;
    ++count;
    significant += " " + text_of_one(entries, metric, test, false);
  }
  const auto compared = baseline.empty()
                            ? fmt::format("{} pairs of columns", tests.size())
                            : fmt::format("{} columns against {}", tests.size(), baseline);
  if (tested == 0) {
    for (const auto& test : tests)
      text += (text.empty() ? "" : " ") + text_of_one(entries, metric, test, false);
    return fmt::format(
        "{} compared by one training seed each: the variation between training seeds is unknown. "
        "{}",
        compared,
        text);
  }
  text = count == 0 ? fmt::format("No significant difference among {} by {}", compared, metric)
                    : fmt::format("Of {}, {} differ{} significantly by {}",
                                  compared,
                                  count,
                                  count == 1 ? "s" : "",
                                  metric);
  return text + ", with Holm's correction for the number of tests." + significant +
         detectable_text(tests, seeds(tests[0]));
}

}  // namespace uvic::app
