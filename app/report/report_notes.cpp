#include "app/report/report_notes.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <vector>

#include "app/report/column_tests.h"
#include "app/report/report.h"
#include "base/text_format.h"

namespace uvic::app {
using nlohmann::json;
namespace {

/// How the standard deviation of one score was estimated, by metric; without metrics that have
/// none.
std::map<std::string, std::string> estimates_of(const json& entries) {
  std::map<std::string, std::string> estimates;
  for (const auto& entry : entries)
    for (const auto& metric : entry["metrics"])
      if (metric["std_over_seeds"].is_null() && metric["std_of_one_score"].is_number())
        estimates[metric["name"].get<std::string>()] = metric.value("how", "");
  return estimates;
}

/// "3", "2 to 3": the numbers of training seeds of the scored entries.
std::string seed_counts(const json& entries) {
  size_t least = std::numeric_limits<size_t>::max(), most = 0;
  for (const auto& entry : entries) {
    if (entry["scores"].empty()) continue;
    least = std::min(least, entry["scores"].size());
    most = std::max(most, entry["scores"].size());
  }
  return least < most ? fmt::format("{} to {}", least, most) : fmt::format("{}", most);
}

/// "-13.2 (-16.1 to -10.3)".
std::string with_interval(const json& value, const json& interval) {
  if (!value.is_number()) return "–";
  const auto text = base::significant(value, 3);
  if (!interval.is_array()) return text;
  return fmt::format(
      "{} ({} to {})", text, base::significant(interval[0], 3), base::significant(interval[1], 3));
}

}  // namespace

std::string score_caption(const json& data) {
  const std::string primary = data["primary_metric"];
  const auto seeds = seed_counts(data["entries"]);
  std::string caption;
  if (seeds != "0" && seeds != "1")
    caption = fmt::format("Mean and standard deviation over {} training seeds (rings: each seed).",
                          seeds);
  auto single = estimates_of(data["baselines"]);
  single.merge(estimates_of(data["entries"]));
  const auto found = single.find(primary);
  if (found == single.end()) return caption.empty() ? "One training seed: no error bars." : caption;
  return fmt::format("{}{}standard deviation of one score{}{}.",
                     caption,
                     caption.empty() ? "Bars: " : " With one seed, and for baselines: ",
                     found->second.empty() ? "" : ": ",
                     found->second);
}

std::string numbers_note(const json& data) {
  const std::string primary = data["primary_metric"];
  if (primary.empty()) return "Not scored.";
  const auto seeds = seed_counts(data["entries"]);
  std::string note =
      seeds == "1" ? "One training seed."
                   : fmt::format("± is the standard deviation over {} training seeds.", seeds);
  for (const auto& [metric, how] : estimates_of(data["entries"]))
    note += fmt::format(" ± of one {}: {}.", metric, how.empty() ? "standard deviation" : how);
  const bool all_comparable = all_on_same_sequences(data["entries"]);
  if (data["entries"].size() > 1 && all_comparable)
    note += " The best value of a row is bold, also without a significant difference.";
  const auto& tests = data["comparisons"];
  const auto tested = std::find_if(
      tests.begin(), tests.end(), [](const json& test) { return !test["p"].is_null(); });
  if (tested == tests.end()) return note;
  const std::string baseline = data["baseline_column"];
  const std::string scored = all_comparable ? "" : " scored on the same sequences";
  note += fmt::format(
      " p: {}{}, without a correction over rows.",
      (*tested)["test"].get<std::string>(),
      tests.size() == 1
          ? std::string()
          : fmt::format(", {}, with Holm's correction for {} tests",
                        baseline.empty() ? "every pair of columns" + scored
                                         : "each column" + scored + " against " + baseline,
                        tests.size()));
  return note;
}

json tests_view(const json& data) {
  json view = json::array();
  for (const auto& [metric, tests] : data["significance"].items())
    for (const auto& test : tests) {
      if (test["p"].is_null()) continue;
      const double p = test["p_adjusted"];
      view.push_back({{"of", test["of"]},
                      {"against", test["against"]},
                      {"metric", metric},
                      {"difference", with_interval(test["difference"], test["interval"])},
                      {"effect", with_interval(test["effect"], test["effect_interval"])},
                      {"p", p < 0.001 ? "< 0.001" : base::significant(p, 2)},
                      {"test", test["paired"] == true ? "paired t" : "Welch's t"},
                      {"detectable", base::significant(test["detectable"], 2)}});
    }
  return view;
}

NumberTable report_numbers(const json& data) {
  NumberTable table;
  const auto plain = numbers_note(data);
  const auto best = plain.find(" The best value of a row"), tests_begin = plain.find(" p: ");
  table.caption = plain.substr(0, std::min(best, tests_begin));
  if (tests_begin != std::string::npos) table.caption += plain.substr(tests_begin);
  table.header = {"metric"};
  for (const auto* group : {"entries", "baselines"})
    for (const auto& column : data[group]) table.header.push_back(column["name"]);
  std::vector<std::string> metrics;
  for (const auto& entry : data["entries"])
    for (const auto& metric : entry["metrics"])
      if (std::find(metrics.begin(), metrics.end(), metric["name"]) == metrics.end())
        metrics.push_back(metric["name"]);
  const std::string baseline = data["baseline_column"];
  for (const auto& name : metrics) {
    table.rows.push_back({{name}});
    for (const auto* group : {"entries", "baselines"})
      for (const auto& column : data[group]) {
        NumberCell cell;
        for (const auto& metric : column["metrics"]) {
          if (metric["name"] != name) continue;
          cell.value = metric["mean"].get<double>();
          const auto& error = metric["std_over_seeds"].is_null() ? metric["std_of_one_score"]
                                                                 : metric["std_over_seeds"];
          if (error.is_number()) cell.error = error.get<double>();
        }
        table.rows.back().push_back(cell);
      }
    const auto tests = data["significance"].find(name);
    if (baseline.empty() || tests == data["significance"].end()) continue;
    table.rows.push_back({{fmt::format("p of {} against {}", name, baseline)}});
    for (const auto& entry : data["entries"]) {
      NumberCell cell;
      for (const auto& test : *tests)
        if (test["of"] == entry["name"] && !test["p"].is_null())
          cell.value = test["p_adjusted"].get<double>();
      table.rows.back().push_back(cell);
    }
  }
  return table;
}

}  // namespace uvic::app
