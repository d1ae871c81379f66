#include "app/report/attention_curves.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "app/report/report_data.h"
#include "app/report/significance.h"
#include "model/attention/statistics.h"

namespace uvic::app {
using nlohmann::json;

namespace {

constexpr const char* kPrefix = "attention_";

/// "entropy" of "attention_entropy/03"; empty for other names.
std::string statistic_of(const std::string& name) {
  const std::string prefix(kPrefix);
  const auto slash = name.rfind('/');
  if (name.rfind(prefix, 0) != 0 || slash == std::string::npos) return "";
  return name.substr(prefix.size(), slash - prefix.size());
}

std::string title_of(const std::string& name) {
  for (const auto& statistic : model::head_statistics())
    if (statistic.name == name) return statistic.title;
  return name;
}

}  // namespace

json attention_curves(const std::vector<std::vector<json>>& stats_of_runs) {
  // By statistic and images seen: the mean over blocks of each run.
  std::map<std::string, std::map<int64_t, std::vector<double>>> means;
  for (const auto& stats : stats_of_runs)
    for (const auto& line : stats) {
      std::map<std::string, std::vector<double>> blocks;
      for (const auto& [name, value] : line.items())
        if (const auto statistic = statistic_of(name); !statistic.empty() && value.is_number())
          blocks[statistic].push_back(value.get<double>());
      for (const auto& [statistic, values] : blocks)
        means[statistic][line["images_seen"].get<int64_t>()].push_back(mean_of(values));
    }
  auto curves = json::object();
  for (const auto& [statistic, by_images] : means) {
    auto& curve = curves[statistic] = json::array();
    for (const auto& [images_seen, values] : by_images) {
      const auto std = std_of(values);
      curve.push_back({{"images_seen", images_seen},
                       {"mean", mean_of(values)},
                       {"std_over_seeds", std ? json(*std) : json()}});
    }
  }
  return curves;
}

std::vector<std::pair<std::string, LinePlot>> attention_plots(const json& entries) {
  std::set<std::string> statistics;
  for (const auto& entry : entries)
    for (const auto& [name, curve] : entry["attention"].items()) statistics.insert(name);
  std::vector<std::pair<std::string, LinePlot>> plots;
  for (const auto& name : statistics) {
    LinePlot plot;
    plot.title = fmt::format("Attention: {}", title_of(name));
    plot.x_label = "images seen";
    plot.y_label = title_of(name);
    for (size_t i = 0; i < entries.size(); ++i) {
      Series series;
      series.name = entries[i]["name"];
      series.colour = i;
      series.markers = true;
      for (const auto& at : entries[i]["attention"].value(name, json::array())) {
        series.x.push_back(at["images_seen"]);
        series.y.push_back(at["mean"]);
        series.error.push_back(number_at(at, "std_over_seeds").value_or(0));
      }
      if (!series.x.empty()) plot.series.push_back(std::move(series));
    }
    plots.emplace_back(name, std::move(plot));
  }
  return plots;
}

}  // namespace uvic::app
