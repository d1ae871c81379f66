#include "app/report/report_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "app/report/attention_curves.h"
#include "app/report/plot.h"
#include "app/report/report_data.h"
#include "app/report/report_findings.h"
#include "app/report/sequence_figures.h"
#include "app/report/sequence_numbers.h"

namespace uvic::app {
using nlohmann::json;

namespace {

std::vector<double> numbers(const json& values) {
  std::vector<double> result;
  for (const auto& value : values)
    result.push_back(value.is_number() ? value.get<double>() : std::nan(""));
  return result;
}

LinePlot loss_plot(const json& entries, bool over_time) {
  double longest_sec = 0;
  for (const auto& entry : entries)
    longest_sec = std::max(longest_sec, entry["cost"]["elapsed_sec"].get<double>());
  const auto [unit_sec, unit] = time_unit(longest_sec);
  const auto seen = counted_name(entries) + " seen";
  LinePlot plot{fmt::format("Training loss against {}", over_time ? "training time" : seen),
                over_time ? fmt::format("training time, {}", unit) : seen,
                "loss",
                true,
                {},
                {}};
  for (size_t i = 0; i < entries.size(); ++i) {
    bool first = true;
    for (const auto& curve : entries[i]["curves"]) {
      Series series;
      series.name = first ? entries[i]["name"].get<std::string>() : "";
      series.colour = i;
      series.raw_x = series.x = numbers(curve[over_time ? "elapsed_sec" : "images_seen"]);
      const double scale = over_time ? 1 / unit_sec : counted_per_example(entries[i]);
      for (auto* xs : {&series.x, &series.raw_x})
        for (double& x : *xs) x *= scale;
      series.raw_y = numbers(curve["loss"]);
      series.y = moving_average(series.raw_y, std::max<size_t>(3, series.raw_y.size() / 25));
      if (!series.y.empty()) plot.series.push_back(series);
      first = false;
    }
  }
  return plot;
}

LinePlot distance_plot(const json& data, bool over_time) {
  double longest_sec = 0;
  std::string name = "FD";
  for (const auto& entry : data["entries"])
    for (const auto& at : entry["distances"]) {
      longest_sec = std::max(longest_sec, at["elapsed_sec"].get<double>());
      name = at["distance_name"];
    }
  const auto [unit_sec, unit] = time_unit(longest_sec);
  LinePlot plot{fmt::format("{} against {}", name, over_time ? "training time" : "images seen"),
                over_time ? fmt::format("training time, {}", unit) : "images seen",
                name + " (lower is better)",
                true,
                {},
                {}};
  for (size_t i = 0; i < data["entries"].size(); ++i) {
    Series series;
    series.name = data["entries"][i]["name"];
    series.colour = i;
    series.markers = true;
    for (const auto& at : data["entries"][i]["distances"]) {
      series.x.push_back(over_time ? at["elapsed_sec"].get<double>() / unit_sec
                                   : at["images_seen"].get<double>());
      series.y.push_back(at["distance"]);
      const auto& error =
          at["std_over_seeds"].is_null() ? at["std_of_one_score"] : at["std_over_seeds"];
      series.error.push_back(error.is_number() ? error.get<double>() : 0.0);
    }
    if (!series.x.empty()) plot.series.push_back(series);
  }
  return plot;
}

std::optional<DotPlot> score_plot(const json& data) {
  const std::string metric = data["primary_metric"];
  DotPlot plot;
  plot.title = metric + " of each, with baselines";
  const auto higher = higher_is_better(data["entries"], metric);
  plot.x_label =
      higher ? fmt::format("{} ({} is better)", metric, *higher ? "higher" : "lower") : metric;
  const auto add = [&](const json& named, std::optional<size_t> colour) {
    for (const auto& found : named["metrics"]) {
      if (found["name"] != metric) continue;
      DotPlot::Row row{named["name"], found["mean"], {}, {}, colour};
      const auto& error =
          found["std_over_seeds"].is_null() ? found["std_of_one_score"] : found["std_over_seeds"];
      if (error.is_number()) row.error = error.get<double>();
      if (found["values"].size() > 1) row.singles = numbers(found["values"]);
      plot.rows.push_back(row);
    }
  };
  for (size_t i = 0; i < data["entries"].size(); ++i) add(data["entries"][i], i);
  if (plot.rows.empty()) return std::nullopt;
  for (const auto& baseline : data["baselines"]) add(baseline, std::nullopt);
  double low = plot.rows.front().value, high = low;
  for (const auto& row : plot.rows)
    low = std::min(low, row.value), high = std::max(high, row.value);
  plot.log_x = low > 0 && high > 20 * low;
  return plot;
}

}  // namespace

std::pair<double, std::string> time_unit(double longest_sec) {
  if (longest_sec < 180) return {1, "s"};
  if (longest_sec < 3 * 3600) return {60, "min"};
  return {3600, "h"};
}

std::vector<ReportPlot> make_plots(const json& data) {
  auto plots = make_held_out_plots(data);
  const auto losses = loss_plot(data["entries"], false);
  if (!losses.series.empty()) {
    plots.push_back(report_plot("loss_by_" + counted_name(data["entries"]),
                                "Training loss, smoothed (line) and as logged (faint).",
                                losses));
    plots.push_back(report_plot(
        "loss_by_time", "The same against training time.", loss_plot(data["entries"], true)));
  }
  const auto distances = distance_plot(data, false);
  if (!distances.series.empty()) {
    plots.push_back(report_plot(
        "distance_by_images",
        "Distance to the reference while training. Bars: standard deviation over training "
        "seeds; of one seed, jackknife standard error over its samples.",
        distances));
    plots.push_back(report_plot(
        "distance_by_time", "The same against training time.", distance_plot(data, true)));
  }
  for (const auto& [name, plot] : attention_plots(data["entries"]))
    plots.push_back(report_plot(
        "attention_" + name,
        fmt::format(
            "While training, by --attention_stats_images: mean over the blocks that have it, "
            "on eight training {}. Bars: standard deviation over training seeds.",
            is_of_sequences(data) ? "sequences" : "images"),
        plot));
  return plots;
}

std::optional<ReportPlot> make_score_plot(const json& data, const std::string& caption) {
  const auto plot = score_plot(data);
  return plot ? std::optional(report_plot("scores", caption, *plot)) : std::nullopt;
}

}  // namespace uvic::app
