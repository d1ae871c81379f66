#include "app/report/sequence_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>

#include "app/report/plot.h"
#include "app/report/report_data.h"
#include "app/report/sequence_numbers.h"

namespace uvic::app {
using nlohmann::json;
namespace {

constexpr const char* kBars =
    "Bars: standard deviation over training seeds; of one seed, standard error over its sequences.";

std::optional<double> summary_error(const json& summary) {
  if (const auto std = number_at(summary, "std_over_seeds")) return std;
  return number_at(summary, "error");
}

/// Whether the sequences that are scored are those that the training left out of its data: with
/// --score_ref they are all of other data.
bool all_held_out(const json& entries) {
  return std::none_of(entries.begin(), entries.end(), [](const json& entry) {
    const auto& reference = value_at(entry["config"], "/score_ref");
    return reference.is_string() && !reference.get<std::string>().empty();
  });
}

LinePlot held_out_plot(const json& entries, const std::string& key, bool over_time) {
  double longest_sec = 0;
  for (const auto& entry : entries)
    for (const auto& at : entry["held_out"])
      longest_sec = std::max(longest_sec, at["elapsed_sec"].get<double>());
  const auto [unit_sec, unit] = time_unit(longest_sec);
  const bool is_loss = key == "loss";
  LinePlot plot;
  const auto title = all_held_out(entries)
                         ? "Held-out " + key
                         : std::string(is_loss ? "Loss" : "Accuracy") + " on the scored sequences";
  plot.title = fmt::format("{} against {}", title, over_time ? "training time" : "tokens");
  plot.x_label = over_time ? fmt::format("training time, {}", unit) : "tokens seen";
  plot.y_label = is_loss ? "loss, nats a token" : "accuracy, %";
  plot.log_y = is_loss;
  for (size_t i = 0; i < entries.size(); ++i) {
    Series series;
    series.name = entries[i]["name"];
    series.colour = i;
    series.markers = true;
    for (const auto& at : entries[i]["held_out"]) {
      series.x.push_back(over_time
                             ? at["elapsed_sec"].get<double>() / unit_sec
                             : at["images_seen"].get<double>() * counted_per_example(entries[i]));
      series.y.push_back(at[key]["mean"]);
      series.error.push_back(summary_error(at[key]).value_or(0));
    }
    if (!series.x.empty()) plot.series.push_back(std::move(series));
  }
  return plot;
}

/// A row for each sub-task of each column, sub-tasks together.
std::optional<DotPlot> part_plot(const json& entries) {
  std::vector<std::string> parts;
  for (const auto& entry : entries)
    for (const auto& row : entry["complexity"]["parts"])
      if (const auto name = row["name"].get<std::string>();
          std::find(parts.begin(), parts.end(), name) == parts.end())
        parts.push_back(name);
  if (parts.empty()) return std::nullopt;
  DotPlot plot;
  plot.title = "Accuracy by sub-task";
  plot.x_label = "accuracy, %";
  for (const auto& part : parts)
    for (size_t i = 0; i < entries.size(); ++i)
      for (const auto& row : entries[i]["complexity"]["parts"])
        if (row["name"] == part)
          plot.rows.push_back({fmt::format("{}: {}", part, entries[i]["name"].get<std::string>()),
                               row["mean"],
                               summary_error(row),
                               {},
                               i});
  return plot;
}

/// "10-19" -> 14.5, "7" -> 7.
double middle_of(const std::string& range) {
  const auto dash = range.find('-');
  const double low = std::strtod(range.c_str(), nullptr);
  return dash == std::string::npos ? low : (low + std::strtod(&range[dash + 1], nullptr)) / 2;
}

LinePlot size_plot(const json& entries) {
  LinePlot plot;
  plot.title = "Accuracy by length of the problem";
  plot.x_label = "length of the problem, tokens";
  plot.y_label = "accuracy, %";
  for (size_t i = 0; i < entries.size(); ++i) {
    Series series;
    series.name = entries[i]["name"];
    series.colour = i;
    series.markers = true;
    for (const auto& row : entries[i]["complexity"]["sizes"]) {
      series.x.push_back(middle_of(row["name"]));
      series.y.push_back(row["mean"]);
      series.error.push_back(summary_error(row).value_or(0));
    }
    if (!series.x.empty()) plot.series.push_back(std::move(series));
  }
  return plot;
}

/// An option that makes a task harder.
struct Difficulty {
  const char *option, *title, *file;
  bool is_default_at_0;  ///< 0 is the task's usual value, which the config does not say
};

constexpr Difficulty kDifficulties[] = {
    {"tokens.symbols", "N, the number of symbols", "accuracy_by_symbols", true},
    {"tokens.delay", "the delay tau", "accuracy_by_delay", false},
    {"tokens.items", "the number of items", "accuracy_by_items", false},
    {"tokens.length", "the length of sequences, tokens", "accuracy_by_sequence_length", true},
    {"tokens.switch_rate", "the switch rate", "accuracy_by_switch_rate", false},
};

/// The config without what may differ along a line: the difficulty, what follows from it, the seed
/// and the place.
std::string line_key(json config, const std::string& option) {
  for (const char* name : {"out",
                           "seed",
                           "model.decoder_lm.vocab_size",
                           "model.decoder_lm.max_position_embeddings",
                           "model.small.vocab_size",
                           "model.small.length"})
    config.erase(name);
  config.erase(option);
  return config.dump();
}

std::vector<std::string> pieces_of(const std::string& name) {
  std::vector<std::string> pieces;
  for (size_t begin = 0; begin <= name.size();) {
    const auto end = std::min(name.find(", ", begin), name.size());
    pieces.push_back(name.substr(begin, end - begin));
    begin = end + 2;
  }
  return pieces;
}

/// What the names of a line's columns have in common, else their attention.
std::string line_name(const json& entries, const std::vector<size_t>& columns) {
  auto common = pieces_of(entries[columns[0]]["name"]);
  for (const auto column : columns) {
    const auto own = pieces_of(entries[column]["name"]);
    common.erase(std::remove_if(common.begin(),
                                common.end(),
                                [&](const auto& piece) {
                                  return std::find(own.begin(), own.end(), piece) == own.end();
                                }),
                 common.end());
  }
  std::string name;
  for (const auto& piece : common) name += (name.empty() ? "" : ", ") + piece;
  return name.empty() ? sequence_attention_text(entries[columns[0]]) : name;
}

/// The mean of the metric "accuracy, %" of an entry, with its error.
const json* accuracy_of(const json& entry) {
  for (const auto& metric : entry["metrics"])
    if (metric["name"] == "accuracy, %") return &metric;
  return nullptr;
}

std::optional<LinePlot> difficulty_plot(const json& entries, const Difficulty& difficulty) {
  std::map<std::string, std::vector<size_t>> lines;
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto& config = entries[i]["config"];
    if (!config.is_object() || !accuracy_of(entries[i])) continue;
    const auto value = number_at(config, difficulty.option);
    if (value && !(difficulty.is_default_at_0 && *value == 0))
      lines[line_key(config, difficulty.option)].push_back(i);
  }
  LinePlot plot;
  plot.title = fmt::format("Accuracy by {}", difficulty.title);
  plot.x_label = difficulty.title;
  plot.y_label = "accuracy, %";
  for (auto& [key, columns] : lines) {
    const auto at = [&](size_t column) {
      return *number_at(entries[column]["config"], difficulty.option);
    };
    std::set<double> values;
    for (const auto column : columns) values.insert(at(column));
    if (values.size() < 2) continue;
    std::sort(columns.begin(), columns.end(), [&](size_t a, size_t b) { return at(a) < at(b); });
    Series series;
    series.name = line_name(entries, columns);
    series.colour = *std::min_element(columns.begin(), columns.end());
    series.markers = true;
    for (const auto column : columns) {
      const auto& metric = *accuracy_of(entries[column]);
      series.x.push_back(at(column));
      series.y.push_back(metric["mean"]);
      const auto error = number_at(metric, "std_over_seeds");
      series.error.push_back(error ? *error : number_at(metric, "std_of_one_score").value_or(0));
    }
    plot.series.push_back(std::move(series));
  }
  if (plot.series.empty()) return std::nullopt;
  std::sort(plot.series.begin(), plot.series.end(), [](const Series& a, const Series& b) {
    return a.colour < b.colour;
  });
  for (size_t i = 0; i < plot.series.size(); ++i) plot.series[i].colour = i;
  return plot;
}

}  // namespace

std::vector<ReportPlot> make_held_out_plots(const json& data) {
  std::vector<ReportPlot> plots;
  if (!is_of_sequences(data)) return plots;
  for (const std::string key : {"accuracy", "loss"})
    for (const bool over_time : {false, true}) {
      const auto plot = held_out_plot(data["entries"], key, over_time);
      if (plot.series.empty()) continue;
      plots.push_back(report_plot(
          fmt::format("held_out_{}_by_{}", key, over_time ? "time" : "tokens"),
          over_time ? "The same against training time."
                    : fmt::format("On {} sequences while training. {}",
                                  all_held_out(data["entries"]) ? "held-out" : "the scored",
                                  kBars),
          plot));
    }
  return plots;
}

std::vector<ReportPlot> make_task_plots(const json& data) {
  std::vector<ReportPlot> plots;
  if (!is_of_sequences(data)) return plots;
  const auto& entries = data["entries"];
  if (const auto parts = part_plot(entries))
    plots.push_back(report_plot("accuracy_by_part", kBars, *parts));
  if (const auto sizes = size_plot(entries); !sizes.series.empty())
    plots.push_back(report_plot("accuracy_by_length",
                                fmt::format("At the middle of each range of lengths. {}", kBars),
                                sizes));
  for (const auto& difficulty : kDifficulties)
    if (const auto plot = difficulty_plot(entries, difficulty))
      plots.push_back(report_plot(
          difficulty.file,
          fmt::format("A line joins columns that differ in {} alone, and in the vocabulary and "
                      "positions that follow from it. {}",
                      difficulty.option,
                      kBars),
          *plot));
  return plots;
}

}  // namespace uvic::app
