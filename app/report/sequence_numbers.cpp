#include "app/report/sequence_numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "app/report/column_tests.h"
#include "app/report/significance.h"
#include "base/text_format.h"

namespace uvic::app {
using nlohmann::json;
namespace {

constexpr double kPercentOfShare = 100;

/// Values of several seeds, and their errors by themselves.
struct Values {
  std::vector<double> values, errors;

  void add(const json& object, const char* value, const char* error, double unit) {
    const auto found = number_at(object, value);
    if (!found) return;
    values.push_back(unit * *found);
    if (const auto own = number_at(object, error)) errors.push_back(unit * *own);
  }
  json summary() const {
    const auto std = std_of(values);
    return {{"mean", mean_of(values)},
            {"std_over_seeds", std ? json(*std) : json()},
            {"error", values.size() == 1 && errors.size() == 1 ? json(errors[0]) : json()}};
  }
};

/// Accuracy by the groups under `key` of every score, in the order of the first.
json accuracy_of_groups(const std::vector<json>& scores, const char* key) {
  std::vector<std::pair<std::string, Values>> groups;
  for (const auto& score : scores)
    for (const auto& group : score.value(key, json::array())) {
      const auto name = group.value("name", "");
      auto found = std::find_if(
          groups.begin(), groups.end(), [&](const auto& known) { return known.first == name; });
      if (found == groups.end()) found = groups.insert(groups.end(), {name, {}});
      found->second.add(group, "accuracy", "accuracy_error", kPercentOfShare);
    }
  json list = json::array();
  for (const auto& [name, values] : groups) {
    if (values.values.empty()) continue;
    auto row = values.summary();
    row["name"] = name;
    list.push_back(std::move(row));
  }
  return list;
}

void add_complexity_group(const json& entries,
                          const char* key,
                          const std::string& title,
                          std::vector<TableGroup>& groups) {
  std::vector<std::string> names;
  for (const auto& entry : entries)
    for (const auto& row : entry["complexity"][key])
      if (const auto name = row["name"].get<std::string>();
          std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(name);
  if (names.empty()) return;
  const bool has_best = entries.size() > 1 && all_on_same_sequences(entries);
  TableGroup group{title, {}};
  for (const auto& name : names) {
    TableRow line{"accuracy, %: " + name, "", {}, {}, {}};
    double best = -1;
    for (const auto& entry : entries) {
      line.cells.emplace_back();
      for (const auto& row : entry["complexity"][key]) {
        if (row["name"] != name) continue;
        const double mean = row["mean"];
        const auto& error = row["std_over_seeds"].is_null() ? row["error"] : row["std_over_seeds"];
        line.cells.back() = base::with_error(mean, error.is_number() ? error.get<double>() : 0);
        if (mean > best) best = mean, line.best = line.cells.size() - 1;
      }
    }
    if (!has_best) line.best.reset();
    group.rows.push_back(std::move(line));
  }
  groups.push_back(std::move(group));
}

json option_of(const json& entry, const std::string& name) {
  return entry["config"].is_object() ? entry["config"].value(name, json()) : json();
}

}  // namespace

bool is_of_sequences(const json& entry_or_data) {
  if (entry_or_data.contains("entries"))
    return !entry_or_data["entries"].empty() && is_of_sequences(entry_or_data["entries"][0]);
  return number_at(entry_or_data, "tokens_per_sequence").has_value();
}

double counted_per_example(const json& entry) {
  return number_at(entry, "tokens_per_sequence").value_or(1);
}

std::string counted_name(const json& entries) {
  return !entries.empty() && is_of_sequences(entries[0]) ? "tokens" : "images";
}

json held_out_curve(const std::vector<std::vector<json>>& stats_of_runs) {
  struct Moment {
    Values loss, accuracy, perplexity;
    std::vector<double> elapsed_sec;
  };
  std::map<int64_t, Moment> by_images;
  for (const auto& stats : stats_of_runs)
    for (const auto& line : stats) {
      const auto seen = number_at(line, "images_seen");
      if (!seen || !number_at(line, "held_out_loss")) continue;
      auto& moment = by_images[static_cast<int64_t>(*seen)];
      moment.loss.add(line, "held_out_loss", "loss_error", 1);
      moment.accuracy.add(line, "held_out_accuracy", "accuracy_error", kPercentOfShare);
      moment.perplexity.add(line, "perplexity", "perplexity_error", 1);
      moment.elapsed_sec.push_back(number_at(line, "elapsed_sec").value_or(0));
    }
  json curve = json::array();
  for (const auto& [images_seen, moment] : by_images)
    curve.push_back({{"images_seen", images_seen},
                     {"elapsed_sec", mean_of(moment.elapsed_sec)},
                     {"loss", moment.loss.summary()},
                     {"accuracy", moment.accuracy.summary()},
                     {"perplexity", moment.perplexity.summary()}});
  return curve;
}

json accuracy_by_complexity(const std::vector<json>& scores) {
  return {{"parts", accuracy_of_groups(scores, "parts")},
          {"sizes", accuracy_of_groups(scores, "sizes")}};
}

std::vector<TableGroup> complexity_rows(const json& entries) {
  std::vector<TableGroup> groups;
  add_complexity_group(entries, "parts", "Accuracy by sub-task", groups);
  add_complexity_group(entries, "sizes", "Accuracy by length of the problem", groups);
  return groups;
}

std::string sequence_attention_text(const json& entry) {
  const auto kind = option_of(entry, "model.kind");
  if (!kind.is_string()) return "";
  const std::string section = kind == "decoder_lm" ? "model.decoder_lm." : "model.small.";
  if (kind != "decoder_lm" && kind != "cisformer") return "none";
  const auto attention = option_of(entry, section + "attention");
  const auto placement = option_of(entry, section + "placement");
  if (!attention.is_string()) return "";
  if (!placement.is_string()) return attention;
  return attention_text(attention, placement);
}

std::string sequence_shape_text(const json& entry) {
  const auto kind = option_of(entry, "model.kind");
  if (!kind.is_string()) return "";
  const auto number = [&](const char* name) {
    const auto value = option_of(entry, name);
    return value.is_number() ? value.get<int64_t>() : 0;
  };
  if (kind == "decoder_lm")
    return fmt::format("{} × {}, {} heads",
                       number("model.decoder_lm.num_hidden_layers"),
                       number("model.decoder_lm.hidden_size"),
                       number("model.decoder_lm.num_attention_heads"));
  return fmt::format("{}, {} × {}",
                     kind.get<std::string>(),
                     number("model.small.num_layers"),
                     number("model.small.hidden_size"));
}

}  // namespace uvic::app
