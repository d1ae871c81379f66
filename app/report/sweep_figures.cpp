#include "app/report/sweep_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "app/report/heat_map.h"
#include "app/report/plot.h"
#include "base/text_format.h"
#include "metrics/frechet.h"

namespace uvic::app {
using nlohmann::json;
namespace {

/// An option that a sweep lists several values of.
struct Axis {
  const char* key;    ///< of a point
  const char* name;   ///< of files
  const char* label;  ///< of tables and plots
};

// In the order of preference as rows, then columns.
constexpr Axis kAxes[] = {{"sampler", "sampler", "sampler"},
                          {"asked_evaluations", "evaluations", "evaluations"},
                          {"guidance_scale", "guidance", "guidance"},
                          {"guidance_interval", "interval", "guidance interval"},
                          {"images_seen", "checkpoint", "images seen"}};

std::string value_text(const json& value) {
  if (value.is_null()) return "everywhere";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return std::to_string(value.get<int64_t>());
  return base::significant(value.get<double>(), 6);
}

/// The values of a key over the points, in order of appearance.
std::vector<json> values_of(const json& points, const char* key) {
  std::vector<json> values;
  for (const auto& point : points)
    if (std::find(values.begin(), values.end(), point[key]) == values.end())
      values.push_back(point[key]);
  return values;
}

std::vector<Axis> varying(const json& points) {
  std::vector<Axis> axes;
  for (const auto& axis : kAxes)
    if (values_of(points, axis.key).size() > 1) axes.push_back(axis);
  return axes;
}

std::optional<double> error_of(const json& point) {
  const auto& std = point["std"];
  return std.is_number() ? std::optional<double>(std.get<double>()) : std::nullopt;
}

/// "5000 images a point, seeds 0-4999; ...": what must be known to compare the numbers.
std::string provenance_text(const json& sweep) {
  const auto& settings = sweep["settings"];
  const auto reference = settings.value("reference", json::object());
  const auto text = [](const json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() || found->is_null() ? std::string("unknown")
           : found->is_string()                      ? found->get<std::string>()
                                                     : found->dump();
  };
  auto line = fmt::format("{} images a point, seeds {}; reference {} ({} images); {} {:.12}; {}",
                          text(settings, "count"),
                          text(settings, "seeds"),
                          text(settings, "reference_source"),
                          text(reference, "count"),
                          text(settings, "extractor"),
                          text(settings, "extractor_sha256"),
                          text(settings, "precision"));
  const auto& points = sweep["points"];
  for (const auto& axis : kAxes) {
    const auto values = values_of(points, axis.key);
    if (values.size() != 1 || (values[0].is_null() && axis.key == std::string("guidance_interval")))
      continue;
    line += fmt::format("; {} {}", axis.label, value_text(values[0]));
  }
  if (values_of(points, "checkpoint_sha256").size() == 1)
    line += fmt::format("; checkpoint {:.12}", points[0]["checkpoint_sha256"].get<std::string>());
  return line + fmt::format("; uvic {}.", text(settings, "version"));
}

/// What the errors are, and what the lowest point is worth.
std::string error_text(const json& sweep) {
  const auto& points = sweep["points"];
  const bool has_errors = std::any_of(
      points.begin(), points.end(), [](const json& point) { return point["std"].is_number(); });
  std::string text =
      has_errors ? "Errors are jackknife standard errors over tenths of the samples; the reference "
                   "and the training count as exact."
                 : "Fewer than 20 images a point: no standard errors.";
  if (points.size() > 1)
    text += fmt::format(
        " The lowest of {} points was picked afterwards: score it again with other seeds before "
        "you "
        "quote it.",
        points.size());
  return text;
}

/// "Lowest: unipc, 10. Within two errors of the difference: ...".
std::string lowest_text(const json& sweep, const std::vector<Axis>& axes) {
  if (!sweep.contains("lowest") || axes.empty()) return "";
  const auto& points = sweep["points"];
  const auto name = [&](const json& point) {
    std::string words;
    for (const auto& axis : axes)
      words += fmt::format(
          "{}{} {}", words.empty() ? "" : ", ", axis.label, value_text(point[axis.key]));
    return words;
  };
  const size_t best = sweep["lowest"]["point"];
  std::string close;
  size_t count = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const auto& difference = sweep["lowest"]["differences"][i];
    if (i == best || !difference["error"].is_number()) continue;
    if (difference["value"].get<double>() > 2 * difference["error"].get<double>()) continue;
    close += (close.empty() ? "" : "; ") + name(points[i]);
    ++count;
  }
  return fmt::format(" Lowest: {}. {}",
                     name(points[best]),
                     count == 0 ? "No other point is within two standard errors of the difference."
                                : "Within two standard errors of the difference: " + close + ".");
}

using FigureGroup = std::vector<std::pair<std::string, json>>;

/// The points of each combination of the values of `axes`, with its name: "guidance 1.5".
FigureGroup grouped(const json& points, const std::vector<Axis>& axes) {
  FigureGroup groups;
  for (const auto& point : points) {
    std::string name;
    for (const auto& axis : axes)
      name +=
          fmt::format("{}{} {}", name.empty() ? "" : ", ", axis.label, value_text(point[axis.key]));
    const auto found = std::find_if(
        groups.begin(), groups.end(), [&](const auto& group) { return group.first == name; });
    if (found == groups.end())
      groups.emplace_back(name, json::array({point}));
    else
      found->second.push_back(point);
  }
  return groups;
}

const json* point_at(const json& points,
                     const Axis& rows,
                     const json& row,
                     const Axis& columns,
                     const json& column) {
  for (const auto& point : points)
    if (point[rows.key] == row && point[columns.key] == column) return &point;
  return nullptr;
}

/// All axes but those two.
std::vector<Axis> without(std::vector<Axis> axes, const Axis& a, const Axis& b) {
  axes.erase(
      std::remove_if(axes.begin(),
                     axes.end(),
                     [&](const Axis& axis) { return axis.key == a.key || axis.key == b.key; }),
      axes.end());
  return axes;
}

HeatMap heat_map(const json& points,
                 const Axis& rows,
                 const Axis& columns,
                 const std::string& title,
                 const std::string& what) {
  HeatMap map;
  map.title = title;
  map.x_label = columns.label;
  map.y_label = rows.label;
  map.value_label = what;
  const auto row_values = values_of(points, rows.key),
             column_values = values_of(points, columns.key);
  for (const auto& column : column_values) map.columns.push_back(value_text(column));
  for (const auto& row : row_values) {
    map.rows.push_back(value_text(row));
    map.values.emplace_back();
    map.texts.emplace_back();
    for (const auto& column : column_values) {
      const auto* point = point_at(points, rows, row, columns, column);
      map.values.back().push_back(point ? std::optional<double>((*point)["distance"].get<double>())
                                        : std::nullopt);
      map.texts.back().push_back(
          point ? base::with_error((*point)["distance"], error_of(*point).value_or(0)) : "");
    }
  }
  return map;
}

std::string evaluations_plot(const json& sweep, const std::vector<Axis>& axes) {
  std::vector<Axis> others;
  for (const auto& axis : axes)
    if (axis.key != std::string("asked_evaluations")) others.push_back(axis);
  LinePlot plot{fmt::format("{} images each", sweep["settings"]["count"].dump()),
                "network evaluations for each image",
                sweep["name"],
                /*log_y=*/true,
                {}};
  plot.log_x = true;
  for (const auto& [name, points] : grouped(sweep["points"], others)) {
    // The word "sampler" says nothing where samplers are all that differs.
    Series series{others.size() == 1 ? value_text(points[0][others[0].key]) : name, {}, {}};
    series.colour = plot.series.size();
    series.markers = true;
    for (const auto& point : points) {
      series.x.push_back(point["evaluations"]);
      series.y.push_back(point["distance"]);
      series.error.push_back(error_of(point).value_or(0));
    }
    plot.series.push_back(std::move(series));
  }
  return to_svg(plot, print_palette());
}

}  // namespace

json lowest_of(const json& points) {
  size_t best = 0;
  for (size_t i = 1; i < points.size(); ++i)
    if (points[i]["distance"].get<double>() < points[best]["distance"].get<double>()) best = i;
  json differences = json::array();
  for (size_t i = 0; i < points.size(); ++i) {
    const double value =
        points[i]["distance"].get<double>() - points[best]["distance"].get<double>();
    const auto a = points[i].value("leave_out", json::array()).get<std::vector<double>>(),
               b = points[best].value("leave_out", json::array()).get<std::vector<double>>();
    json error;
    if (i != best && !a.empty() && a.size() == b.size()) {
      std::vector<double> without(a.size());
      for (size_t k = 0; k < a.size(); ++k) without[k] = a[k] - b[k];
      error = metrics::jackknife(value, without).std;
    }
    differences.push_back({{"value", value}, {"error", error}});
  }
  return {{"point", best}, {"differences", differences}};
}

std::vector<NumberTable> sweep_tables(const json& sweep) {
  const auto& points = sweep["points"];
  const auto axes = varying(points);
  const Axis rows = axes.empty() ? kAxes[0] : axes[0], columns = axes.size() > 1 ? axes[1]
                                                                 : rows.key == kAxes[1].key
                                                                     ? kAxes[0]
                                                                     : kAxes[1];
  std::vector<NumberTable> tables;
  for (const auto& [name, group] : grouped(points, without(axes, rows, columns))) {
    NumberTable table;
    table.caption = (name.empty() ? "" : name + ". ") +
                    (tables.empty() ? fmt::format("{}. {} {}{}",
                                                  sweep["name"].get<std::string>(),
                                                  provenance_text(sweep),
                                                  error_text(sweep),
                                                  lowest_text(sweep, axes))
                                    : "");
    table.header = {fmt::format("{} at {}:", sweep["name"].get<std::string>(), columns.label)};
    const auto column_values = values_of(group, columns.key);
    for (const auto& column : column_values) table.header.push_back(value_text(column));
    for (const auto& row : values_of(group, rows.key)) {
      table.rows.push_back({{value_text(row)}});
      for (const auto& column : column_values) {
        const auto* point = point_at(group, rows, row, columns, column);
        NumberCell cell;
        if (point) cell.value = (*point)["distance"].get<double>(), cell.error = error_of(*point);
        table.rows.back().push_back(cell);
      }
    }
    tables.push_back(std::move(table));
  }
  return tables;
}

NumberTable sweep_list(const json& sweep) {
  NumberTable table;
  for (const auto& axis : kAxes) table.header.push_back(axis.label);
  table.header.push_back("evaluations used");
  table.header.push_back(sweep["name"]);
  for (const auto& point : sweep["points"]) {
    table.rows.emplace_back();
    for (const auto& axis : kAxes) table.rows.back().push_back({value_text(point[axis.key])});
    table.rows.back().push_back({value_text(point["evaluations"])});
    NumberCell cell;
    cell.value = point["distance"].get<double>();
    cell.error = error_of(point);
    table.rows.back().push_back(cell);
  }
  return table;
}

std::vector<SweepFigure> sweep_figures(const json& sweep) {
  const auto& points = sweep["points"];
  const auto axes = varying(points);
  std::vector<SweepFigure> figures;
  if (values_of(points, "asked_evaluations").size() > 1)
    figures.push_back({"sweep", evaluations_plot(sweep, axes)});
  const auto what = fmt::format("{}, lower is better", sweep["name"].get<std::string>());
  for (size_t i = 0; i < axes.size(); ++i)
    for (size_t j = i + 1; j < axes.size(); ++j) {
      const auto groups = grouped(points, without(axes, axes[i], axes[j]));
      for (size_t k = 0; k < groups.size(); ++k)
        figures.push_back(
            {fmt::format("heat_{}_{}{}",
                         axes[i].name,
                         axes[j].name,
                         groups.size() > 1 ? fmt::format("_{}", k + 1) : ""),
             to_svg(heat_map(groups[k].second, axes[i], axes[j], groups[k].first, what),
                    print_palette())});
    }
  return figures;
}

}  // namespace uvic::app
