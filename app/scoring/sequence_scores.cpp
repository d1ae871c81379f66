#include "app/scoring/sequence_scores.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/check.h"

namespace uvic::app {
using nlohmann::json;
namespace {

constexpr double kPercent = 100;

/// A metric: its name in options and in the report.
struct SequenceMetric {
  const char* name;
  const char* title;
  bool higher_is_better;
  MeanWithError (*value)(const TokenScore&);
  std::vector<double> (*without)(const TokenScore&);
};

MeanWithError in_percent(const MeanWithError& share) {
  return {kPercent * share.mean, kPercent * share.error};
}

std::vector<double> perplexities(const TokenScore& score) {
  std::vector<double> values;
  for (const double loss : score.loss_without) values.push_back(std::exp(loss));
  return values;
}

std::vector<double> accuracies(const TokenScore& score) {
  std::vector<double> values;
  for (const double share : score.accuracy_without) values.push_back(kPercent * share);
  return values;
}

const SequenceMetric kMetrics[] = {
    {"loss",
     "loss",
     false,
     [](const TokenScore& s) { return s.all.loss; },
     [](const TokenScore& s) { return s.loss_without; }},
    {"perplexity",
     "perplexity",
     false,
     [](const TokenScore& s) {
       return MeanWithError{s.perplexity(), s.perplexity_error()};
     },
     perplexities},
    {"accuracy",
     "accuracy, %",
     true,
     [](const TokenScore& s) { return in_percent(s.all.accuracy); },
     accuracies},
    {"whole",
     "whole sequences right, %",
     true,
     [](const TokenScore& s) { return in_percent(s.whole); },
     [](const TokenScore&) { return std::vector<double>(); }},
};

const SequenceMetric* find_metric(const std::string& name) {
  const auto* found = std::find_if(
      std::begin(kMetrics), std::end(kMetrics), [&](const auto& m) { return name == m.name; });
  return found == std::end(kMetrics) ? nullptr : found;
}

}  // namespace

std::vector<std::string> parse_sequence_metrics(const std::string& list) {
  if (list.empty()) return {"loss", "perplexity", "accuracy"};
  std::vector<std::string> names;
  if (list == "all") {
    for (const auto& metric : kMetrics) names.emplace_back(metric.name);
    return names;
  }
  std::istringstream words(list);
  for (std::string name; std::getline(words, name, ',');) {
    base::require(find_metric(name),
                  "--metrics {}: of sequences known are loss, perplexity, accuracy, whole, or all",
                  name);
    base::require(std::find(names.begin(), names.end(), name) == names.end(),
                  "--metrics {}: {} is given twice",
                  list,
                  name);
    names.push_back(name);
  }
  return names;
}

json sequence_score(const TokenScore& score, const std::vector<std::string>& metrics) {
  auto record = score.json();
  json result = {{"metrics", json::array()},
                 {"sequences", record["sequences"]},
                 {"length", record["length"]},
                 {"parts", record["parts"]},
                 {"sizes", record["sizes"]}};
  for (const auto& name : metrics) {
    const auto* metric = find_metric(name);
    base::require(metric, "{}: no metric of sequences", name);
    const auto [mean, error] = metric->value(score);
    if (!std::isfinite(mean)) continue;
    json entry = {
        {"name", metric->title}, {"value", mean}, {"higher_is_better", metric->higher_is_better}};
    if (std::isfinite(error)) {
      entry["std"] = error;
      entry["how"] = "standard error over the scored sequences";
    }
    if (const auto without = metric->without(score); !without.empty()) entry["leave_out"] = without;
    result["metrics"].push_back(std::move(entry));
  }
  return result;
}

json uniform_guess(int64_t vocabulary, const std::vector<std::string>& metrics) {
  const auto tokens = static_cast<double>(vocabulary);
  json result = {{"name", "uniform guess"}, {"metrics", json::array()}};
  for (const auto& name : metrics) {
    const auto* metric = find_metric(name);
    base::require(metric, "{}: no metric of sequences", name);
    if (name == "whole") continue;  // which depends on the lengths
    const double value = name == "loss"         ? std::log(tokens)
                         : name == "perplexity" ? tokens
                                                : kPercent / tokens;
    result["metrics"].push_back({{"name", metric->title},
                                 {"value", value},
                                 {"higher_is_better", metric->higher_is_better}});
  }
  return result;
}

}  // namespace uvic::app
