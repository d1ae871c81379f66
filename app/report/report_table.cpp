#include "app/report/report_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "app/report/column_tests.h"
#include "app/report/report_data.h"
#include "app/report/report_findings.h"
#include "app/report/sequence_numbers.h"
#include "base/text_format.h"

namespace uvic::app {
using nlohmann::json;

namespace {

/// Adds a row with a cell for each entry, unless all cells are empty.
template <class Text>
void add_row(TableGroup& group,
             const json& entries,
             const std::string& label,
             const std::string& note,
             Text&& text) {
  TableRow row{label, note, {}, {}, {}};
  for (const auto& entry : entries) row.cells.push_back(text(entry));
  if (std::any_of(
          row.cells.begin(), row.cells.end(), [](const auto& cell) { return !cell.empty(); }))
    group.rows.push_back(row);
}

std::string si_at(const json& entry, const char* pointer) {
  const auto& value = value_at(entry, pointer);
  return value.is_number() && value.get<double>() > 0 ? base::si_number(value, 4) : "";
}

/// "p = 0.03" of two columns; of more the least of the corrected values, "least p = 0.03 (B, A)".
std::string test_text(const json& data, const std::string& metric) {
  const auto found = data["significance"].find(metric);
  if (found == data["significance"].end()) return "";
  const json* least = nullptr;
  for (const auto& test : *found)
    if (const auto p = number_at(test, "p_adjusted");
        p && (!least || *p < (*least)["p_adjusted"].get<double>()))
      least = &test;
  if (!least) return "";
  const double p = (*least)["p_adjusted"];
  const auto text = p < 0.001 ? "p < 0.001" : fmt::format("p = {}", base::significant(p, 2));
  if (found->size() == 1) return text;
  return fmt::format("least {} ({}, {})",
                     text,
                     (*least)["of"].get<std::string>(),
                     (*least)["against"].get<std::string>());
}

/// "420 (411 to 432)": the median of the logged speeds, and their quartiles where they differ.
std::string speed_text(const json& entry) {
  const auto median = number_at(entry["cost"], "images_per_sec");
  if (!median || *median <= 0) return "";
  const double unit = counted_per_example(entry);
  const auto& quartiles = value_at(entry, "/cost/images_per_sec_quartiles");
  const auto text = base::si_number(unit * *median, 4);
  if (!quartiles.is_array() || quartiles[0] == quartiles[1]) return text;
  return fmt::format("{} ({} to {})",
                     text,
                     base::si_number(unit * quartiles[0].get<double>(), 3),
                     base::si_number(unit * quartiles[1].get<double>(), 3));
}

/// Floating-point operations of all network calls of one image.
std::string sampling_gflop(const json& entry) {
  const auto forward = value_at(entry, "/run/forward_gflop_per_image"),
             calls = value_at(entry, "/samples/nfe");
  if (!forward.is_number() || !calls.is_number()) return "";
  const auto& scale = value_at(entry, "/samples/guidance_scale");
  const bool guided = scale.is_number() && scale.get<double>() != 1;
  const double gflop = forward.get<double>() * calls.get<double>() * (guided ? 2 : 1);
  return gflop > 0 ? base::si_number(gflop, 4) : "";
}

void add_metric_rows(TableGroup& group, const json& data) {
  std::vector<std::string> names;
  for (const auto& entry : data["entries"])
    for (const auto& metric : entry["metrics"])
      if (const std::string name = metric["name"];
          std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(name);
  const bool has_best = data["entries"].size() > 1 && all_on_same_sequences(data["entries"]);
  for (const auto& name : names) {
    const auto higher = higher_is_better(data["entries"], name);
    TableRow row{name,
                 !higher   ? ""
                 : *higher ? "higher is better"
                           : "lower is better",
                 {},
                 {},
                 test_text(data, name)};
    std::optional<double> best;
    for (const auto& entry : data["entries"]) {
      row.cells.emplace_back();
      for (const auto& metric : entry["metrics"]) {
        if (metric["name"] != name) continue;
        const double mean = metric["mean"];
        const auto& error = metric["std_over_seeds"].is_null() ? metric["std_of_one_score"]
                                                               : metric["std_over_seeds"];
        row.cells.back() = base::with_error(mean, error.is_number() ? error.get<double>() : 0);
        if (higher && (!best || (*higher ? mean > *best : mean < *best)))
          best = mean, row.best = row.cells.size() - 1;
      }
    }
    if (!has_best) row.best.reset();
    group.rows.push_back(row);
  }
}

/// The width on a terminal: the number of UTF-8 characters.
size_t glyphs(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width > glyphs(text) ? width - glyphs(text) : 0, ' ');
}

/// `text` in lines of at most `width` characters, cut at spaces; longer words are cut.
std::vector<std::string> wrapped_lines(const std::string& text, size_t width) {
  std::vector<std::string> lines(1);
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!lines.back().empty() && glyphs(lines.back()) + 1 + glyphs(word) > width)
      lines.emplace_back();
    lines.back() += (lines.back().empty() ? "" : " ") + word;
    while (glyphs(lines.back()) > width) {
      auto& full = lines.back();
      size_t end = 0;
      for (size_t count = 0; end < full.size(); ++end)
        if ((full[end] & 0xC0) != 0x80 && ++count > width) break;
      const auto rest = full.substr(end);
      full.resize(end);
      lines.push_back(rest);
    }
  }
  return lines;
}

TableGroup model_rows(const json& entries) {
  TableGroup model{"Model", {}};
  const bool sequences = !entries.empty() && is_of_sequences(entries[0]);
  add_row(model, entries, "Attention", "softmax in the other blocks", [](const json& e) {
    if (is_of_sequences(e)) return sequence_attention_text(e);
    const auto &attention = value_at(e, "/config/model.attention"),
               &placement = value_at(e, "/config/model.placement");
    return attention.is_string() ? attention_text(attention, placement) : "";
  });
  const auto* shape = sequences ? "layers × width, heads" : "depth × width, heads, patch";
  add_row(model, entries, "Shape", shape, [](const json& e) {
    if (is_of_sequences(e)) return sequence_shape_text(e);
    if (!value_at(e, "/config/model.depth").is_number()) return std::string();
    return fmt::format("{} × {}, {} heads, {} px",
                       value_at(e, "/config/model.depth").get<int64_t>(),
                       value_at(e, "/config/model.embed_dim").get<int64_t>(),
                       value_at(e, "/config/model.num_heads").get<int64_t>(),
                       value_at(e, "/config/model.patch_size").get<int64_t>());
  });
  add_row(
      model, entries, "Parameters", "", [](const json& e) { return si_at(e, "/run/parameters"); });
  const auto* flops = sequences ? "GFLOP per sequence of full length" : "GFLOP per image";
  add_row(model, entries, flops, "forward pass", [](const json& e) {
    return si_at(e, "/run/forward_gflop_per_image");
  });
  return model;
}

TableGroup quality_rows(const json& data) {
  TableGroup quality{"Quality", {}};
  const auto& entries = data["entries"];
  add_metric_rows(quality, data);
  add_row(quality, entries, "Feature network", "", [](const json& e) {
    return shown(value_at(e, "/scores/0/extractor"));
  });
  add_row(quality, entries, "Training seeds", "", [](const json& e) {
    return e["scores"].empty() ? "" : std::to_string(e["scores"].size());
  });
  return quality;
}

TableGroup training_rows(const json& entries) {
  TableGroup training{"Training", {}};
  const bool sequences = !entries.empty() && is_of_sequences(entries[0]);
  add_row(training, entries, sequences ? "Tokens seen" : "Images seen", "", [](const json& e) {
    const double seen = counted_per_example(e) * e["cost"]["images_seen"].get<double>();
    return seen > 0 ? base::si_number(seen, 4) : "";
  });
  add_row(training,
          entries,
          sequences ? "Training tokens/s" : "Training images/s",
          "median and quartiles of the log; not measured side by side, so no comparison",
          speed_text);
  add_row(training, entries, "Training time", "mean over seeds; likewise", [](const json& e) {
    const double seconds = e["cost"]["elapsed_sec"];
    return seconds > 0 ? base::duration_text(seconds) : "";
  });
  add_row(training, entries, "Memory, MiB", "peak", [](const json& e) {
    const double mib = e["cost"]["memory_mib"];
    return mib > 0 ? fmt::format("{:.0f}", mib) : "";
  });
  add_row(training, entries, "Training loss", "mean of the last tenth", [](const json& e) {
    const auto loss = number_at(e["cost"], "loss");
    if (!loss) return std::string();
    return base::with_error(*loss, number_at(e["cost"], "loss_std_over_seeds").value_or(0));
  });
  add_row(training, entries, "Precision", "", [](const json& e) {
    return shown(value_at(e, "/run/precision"));
  });
  add_row(training, entries, "Device", "", [](const json& e) {
    const auto device = shown(value_at(e, "/run/device")),
               threads = shown(value_at(e, "/run/threads"));
    return device + (threads.empty() ? "" : fmt::format(", {} threads", threads));
  });
  add_row(training, entries, "Data", "", [](const json& e) {
    return shown(value_at(e, "/run/data/describe"));
  });
  return training;
}

TableGroup sampling_rows(const json& entries) {
  TableGroup sampling{"Sampling", {}};
  add_row(sampling, entries, "Sampler", "", [](const json& e) {
    const auto sampler = shown(value_at(e, "/samples/sampler")),
               steps = shown(value_at(e, "/samples/steps"));
    return sampler + (steps.empty() ? "" : fmt::format(", {} steps", steps));
  });
  add_row(sampling, entries, "Network calls per image", "", [](const json& e) {
    return shown(value_at(e, "/samples/nfe"));
  });
  add_row(sampling,
          entries,
          "GFLOP per sample",
          "all network calls; twice with guidance",
          sampling_gflop);
  add_row(sampling, entries, "Guidance scale", "1 is none", [](const json& e) {
    return shown(value_at(e, "/samples/guidance_scale"));
  });
  return sampling;
}

}  // namespace

std::string shown(const json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value;
  if (value.is_number_float()) return base::significant(value, 6);
  if (!value.is_structured()) return value.dump();
  std::string list;
  for (const auto& [key, child] : value.items())
    list += (list.empty() ? "" : ", ") + (value.is_object() ? key + " " : "") + shown(child);
  return list;
}

std::string shortened(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (text[bytes] & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes) + "…";
}

std::vector<TableGroup> table_of(const json& data) {
  const auto& entries = data["entries"];
  std::vector<TableGroup> groups;
  groups.push_back(quality_rows(data));
  if (is_of_sequences(data))
    for (auto& group : complexity_rows(entries)) groups.push_back(std::move(group));
  for (auto& group : {model_rows(entries), training_rows(entries), sampling_rows(entries)})
    groups.push_back(group);
  groups.erase(
      std::remove_if(
          groups.begin(), groups.end(), [](const TableGroup& group) { return group.rows.empty(); }),
      groups.end());
  return groups;
}

std::string table_text(const std::vector<TableGroup>& table,
                       const std::vector<std::string>& names) {
  constexpr size_t kWidth = 120, kNarrowest = 14;
  std::vector<size_t> widths = {0};
  for (const auto& name : names) widths.push_back(glyphs(name));
  for (const auto& group : table)
    for (const auto& row : group.rows) {
      widths[0] = std::max(widths[0], glyphs(row.label));
      for (size_t i = 0; i < row.cells.size(); ++i)
        widths[i + 1] = std::max(widths[i + 1], glyphs(row.cells[i]));
    }
  const size_t left = kWidth > widths[0] ? kWidth - widths[0] : 0;
  const size_t share = names.empty() ? left : left / names.size();  // with two spaces before it
  const size_t widest = std::max(kNarrowest, share > 2 ? share - 2 : 0);
  for (size_t i = 1; i < widths.size(); ++i) widths[i] = std::min(widths[i], widest);

  std::string text;
  const auto add_row = [&](const std::string& label, const std::vector<std::string>& cells) {
    std::vector<std::vector<std::string>> columns;
    size_t height = 1;
    for (size_t i = 0; i < cells.size(); ++i) {
      columns.push_back(wrapped_lines(cells[i], i < names.size() ? widths[i + 1] : kWidth));
      height = std::max(height, columns.back().size());
    }
    for (size_t row = 0; row < height; ++row) {
      auto line = padded(row == 0 ? label : "", widths[0]);
      for (size_t i = 0; i < columns.size(); ++i)
        line += "  " + padded(row < columns[i].size() ? columns[i][row] : "",
                              i < names.size() ? widths[i + 1] : 0);
      text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
  };
  add_row("", names);
  for (const auto& group : table) {
    text += "\n";
    for (const auto& row : group.rows) {
      std::vector<std::string> cells;
      for (const auto& value : row.cells) cells.push_back(value.empty() ? "–" : value);
      if (!row.test.empty()) cells.push_back(row.test);
      add_row(row.label, cells);
    }
  }
  return text;
}

}  // namespace uvic::app
