#include "app/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "app/assets.h"
#include "app/human.h"
#include "app/image_grid.h"
#include "app/plot.h"
#include "app/runtime.h"
#include "app/sample.h"
#include "app/sampling.h"
#include "app/template.h"
#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"

namespace uvic::app {
namespace fs = std::filesystem;
using formats::Image;
using nlohmann::json;

namespace {

constexpr int kSheetColumns = 8, kSheetRows = 10, kFilmFrames = 8;
constexpr int kEmbeddedSheet_px = 1060, kEmbeddedFrame_px = 640;

const json& at(const json& object, const char* pointer) {
  static const json kAbsent;
  const json::json_pointer path(pointer);
  return object.contains(path) ? object[path] : kAbsent;
}

std::string base64(const std::vector<uint8_t>& bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = std::min<size_t>(3, bytes.size() - i);
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) bits = bits << 8 | (j < left ? bytes[i + j] : 0u);
    for (size_t j = 0; j < 4; ++j) text += j <= left ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::string data_uri(const Image& image) {
  return "data:image/png;base64," + base64(formats::encode_png(image));
}

/// A name that is safe as part of a file's name.
std::string file_stem(const std::string& name) {
  std::string stem;
  for (const char c : name)
    stem += std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::tolower(c)) : '_';
  return stem.empty() ? "entry" : stem;
}

/// Where `uvic sample` put the picture of a seed, or nothing where it is missing.
std::optional<fs::path> sample_path(const fs::path& folder, uint64_t seed) {
  const auto path = picture_path(folder, seed);
  return fs::exists(path) ? std::optional(path) : std::nullopt;
}

// ---- pictures ----------------------------------------------------------------------------

/// The seeds to show, row by row, and what each row holds.
struct SheetPlan {
  std::vector<std::vector<uint64_t>> rows;
  std::vector<std::string> labels;  ///< empty: unlabelled
};

std::map<uint64_t, int64_t> labels_by_seed(const json& samples) {
  std::map<uint64_t, int64_t> labels;
  const auto& classes = at(samples, "/classes");
  if (!classes.is_array() || classes.empty()) return labels;
  const auto seeds = sample_seeds(samples);
  const auto dealt = labels_in_turn(seeds, classes.get<std::vector<int64_t>>());
  for (size_t i = 0; i < seeds.size(); ++i) labels[seeds[i]] = dealt[i];
  return labels;
}

std::string class_name(const json& entry, int64_t label) {
  for (const auto* pointer : {"/samples/class_names", "/run/data/class_names"}) {
    const json::json_pointer path(pointer);
    if (!entry.contains(path) || !entry[path].is_array()) continue;
    const auto& names = entry[path];
    if (label >= 0 && label < static_cast<int64_t>(names.size()))
      return names[static_cast<size_t>(label)];
  }
  return fmt::format("class {}", label);
}

/// Seeds that every entry with samples has; one row for each class where all agree on the labels.
SheetPlan plan_sheet(const json& entries) {
  std::optional<std::vector<uint64_t>> shared;
  std::optional<std::map<uint64_t, int64_t>> labels;
  const json* first = nullptr;
  for (const auto& entry : entries) {
    const auto seeds = sample_seeds(entry["samples"]);
    if (seeds.empty()) continue;
    const auto own_labels = labels_by_seed(entry["samples"]);
    if (!first) {
      first = &entry, shared = seeds, labels = own_labels;
      continue;
    }
    const std::set<uint64_t> own(seeds.begin(), seeds.end());
    shared->erase(
        std::remove_if(
            shared->begin(), shared->end(), [&](uint64_t seed) { return !own.count(seed); }),
        shared->end());
    if (own_labels != *labels) labels->clear();
  }
  SheetPlan plan;
  if (!shared) return plan;
  std::map<int64_t, std::vector<uint64_t>> by_class;
  for (const uint64_t seed : *shared)
    if (labels->count(seed)) by_class[labels->at(seed)].push_back(seed);
  if (by_class.size() > 1) {
    for (const auto& [label, seeds] : by_class) {
      if (plan.rows.size() == kSheetRows) break;
      plan.rows.emplace_back(
          seeds.begin(),
          seeds.begin() + std::min<long>(kSheetColumns, static_cast<long>(seeds.size())));
      plan.labels.push_back(class_name(*first, label));
    }
    return plan;
  }
  for (size_t i = 0; i < shared->size() && plan.rows.size() < kSheetColumns; i += kSheetColumns)
    plan.rows.emplace_back(
        shared->begin() + static_cast<long>(i),
        shared->begin() + static_cast<long>(std::min(shared->size(), i + kSheetColumns)));
  return plan;
}

/// The planned pictures of one entry; missing files leave their cell empty. Nothing where all are
/// missing.
std::optional<Image> draw_sheet(const SheetPlan& plan, const fs::path& samples, bool labelled) {
  std::vector<Image> tiles;
  size_t columns = 1;
  for (const auto& row : plan.rows) columns = std::max(columns, row.size());
  bool any = false;
  for (const auto& row : plan.rows)
    for (size_t i = 0; i < columns; ++i) {
      const auto path = i < row.size() ? sample_path(samples, row[i]) : std::nullopt;
      tiles.push_back(path ? formats::read_image(*path) : Image{});
      any = any || path;
    }
  if (!any) return std::nullopt;
  GridOptions options;
  options.columns = static_cast<int>(columns);
  if (labelled) options.row_labels = plan.labels;
  return image_grid(tiles, options);
}

struct Sheet {
  std::string name;
  size_t colour;   ///< from 1; 0 is a baseline
  Image plain;     ///< for the page, which writes the class names itself
  Image labelled;  ///< for the file
};

std::vector<Sheet> draw_sheets(const SheetPlan& plan, const json& data) {
  std::vector<Sheet> sheets;
  if (plan.rows.empty()) return sheets;
  const auto add = [&](const std::string& name, size_t colour, const std::string& folder) {
    if (folder.empty()) return;
    if (const auto plain = draw_sheet(plan, folder, false))
      sheets.push_back({name, colour, *plain, *draw_sheet(plan, folder, true)});
  };
  for (size_t i = 0; i < data["entries"].size(); ++i)
    add(data["entries"][i]["name"], i + 1, data["entries"][i]["samples_folder"]);
  for (const auto& baseline : data["baselines"])
    add(baseline["name"], 0, baseline["score"].value("pictures", ""));
  return sheets;
}

/// Grids that a run left, by images seen.
std::map<int64_t, fs::path> grids_of(const fs::path& run) {
  std::map<int64_t, fs::path> grids;
  std::error_code none;
  for (const auto& file : fs::directory_iterator(run / "grids", none)) {
    const auto stem = file.path().stem().string();
    if (file.path().extension() == ".png" && !stem.empty() && stem.size() < 18 &&
        stem.find_first_not_of("0123456789") == std::string::npos)
      grids[std::stoll(stem)] = file.path();
  }
  return grids;
}

/// At most kFilmFrames of them, first and last among them; the early ones, between which most
/// happens, denser.
std::vector<int64_t> film_moments(const std::vector<int64_t>& all) {
  if (all.size() <= kFilmFrames) return all;
  std::vector<int64_t> chosen;
  for (int i = 0; i < kFilmFrames; ++i) {
    const double part = static_cast<double>(i) / (kFilmFrames - 1);
    auto index =
        static_cast<size_t>(std::lround(std::pow(part, 1.5) * static_cast<double>(all.size() - 1)));
    if (!chosen.empty())
      index = std::max(index,
                       static_cast<size_t>(std::lower_bound(all.begin(), all.end(), chosen.back()) -
                                           all.begin()) +
                           1);
    chosen.push_back(all[std::min(index, all.size() - 1)]);
  }
  return chosen;
}

json film_view(const json& entries) {
  std::vector<std::map<int64_t, fs::path>> grids;
  for (const auto& entry : entries)
    grids.push_back(grids_of(entry["run_folder"].get<std::string>()));
  std::map<int64_t, size_t> counts;
  for (const auto& own : grids)
    for (const auto& [images_seen, path] : own) ++counts[images_seen];
  const size_t with_grids = static_cast<size_t>(
      std::count_if(grids.begin(), grids.end(), [](const auto& own) { return !own.empty(); }));
  std::vector<int64_t>
      moments;  // those that all runs reached, so that columns compare like with like
  for (const auto& [images_seen, count] : counts)
    if (count == with_grids) moments.push_back(images_seen);
  moments = film_moments(moments);
  json film = {{"moments", json::array()}, {"rows", json::array()}, {"last", 0}};
  if (moments.empty()) return film;
  film["last"] = moments.size() - 1;
  for (const int64_t moment : moments)
    film["moments"].push_back(si_number(static_cast<double>(moment)));
  for (size_t i = 0; i < entries.size(); ++i) {
    if (grids[i].empty()) continue;
    json frames = json::array();
    for (const int64_t moment : moments)
      frames.push_back(
          {{"src",
            data_uri(at_most_wide(formats::read_image(grids[i].at(moment)), kEmbeddedFrame_px))},
           {"moment", si_number(static_cast<double>(moment))}});
    film["rows"].push_back({{"index", film["rows"].size()},
                            {"name", entries[i]["name"]},
                            {"colour", i + 1},
                            {"frames", frames},
                            {"final", frames.back()["src"]}});
  }
  return film;
}

// ---- plots -------------------------------------------------------------------------------

struct NamedPlot {
  std::string file, caption;
  std::string page_svg, print_svg;
};

template <class Plot>
NamedPlot drawn(const std::string& file, const std::string& caption, const Plot& plot) {
  return {file, caption, to_svg(plot, page_palette()), to_svg(plot, print_palette())};
}

std::vector<double> numbers(const json& values) {
  std::vector<double> result;
  for (const auto& value : values)
    result.push_back(value.is_number() ? value.get<double>() : std::nan(""));
  return result;
}

/// Seconds as the unit that suits the longest.
std::pair<double, std::string> time_unit(double longest_sec) {
  if (longest_sec < 180) return {1, "s"};
  if (longest_sec < 3 * 3600) return {60, "min"};
  return {3600, "h"};
}

LinePlot loss_plot(const json& entries, bool over_time) {
  double longest_sec = 0;
  for (const auto& entry : entries)
    longest_sec = std::max(longest_sec, entry["cost"]["elapsed_sec"].get<double>());
  const auto [unit_sec, unit] = time_unit(longest_sec);
  LinePlot plot{over_time ? "Loss against training time" : "Loss against images seen",
                over_time ? fmt::format("training time, {}", unit) : "images seen",
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
      if (over_time)
        for (auto* xs : {&series.x, &series.raw_x})
          for (double& x : *xs) x /= unit_sec;
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
      series.error.push_back(at["std_over_seeds"].is_null() ? 0.0
                                                            : at["std_over_seeds"].get<double>());
    }
    if (!series.x.empty()) plot.series.push_back(series);
  }
  return plot;
}

std::optional<DotPlot> score_plot(const json& data) {
  const std::string metric = data["primary_metric"];
  DotPlot plot;
  plot.title = metric + " of each, with baselines";
  plot.x_label =
      fmt::format("{} ({} is better)", metric, higher_is_better(metric) ? "higher" : "lower");
  const auto add = [&](const json& named, std::optional<size_t> colour) {
    for (const auto& found : named["metrics"]) {
      if (found["name"] != metric) continue;
      DotPlot::Row row{named["name"], found["mean"], {}, {}, colour};
      const auto& spread =
          found["std_over_seeds"].is_null() ? found["std_of_one_score"] : found["std_over_seeds"];
      if (spread.is_number()) row.error = spread.get<double>();
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

std::vector<NamedPlot> draw_plots(const json& data) {
  std::vector<NamedPlot> plots;
  const auto losses = loss_plot(data["entries"], false);
  if (!losses.series.empty()) {
    plots.push_back(
        drawn("loss_by_images", "Training loss, smoothed (line) and as logged (faint).", losses));
    plots.push_back(drawn("loss_by_time",
                          "The same against training time: what each costs.",
                          loss_plot(data["entries"], true)));
  }
  const auto distances = distance_plot(data, false);
  if (!distances.series.empty()) {
    plots.push_back(
        drawn("distance_by_images", "Distance to the reference while training.", distances));
    plots.push_back(
        drawn("distance_by_time", "The same against training time.", distance_plot(data, true)));
  }
  return plots;
}

// ---- tables ------------------------------------------------------------------------------

struct TableRow {
  std::string label, note;
  std::vector<std::string> cells;
  std::optional<size_t> best;
};
struct TableGroup {
  std::string name;
  std::vector<TableRow> rows;
};

std::string shown(const json& value) {
  if (value.is_null()) return "";
  if (value.is_string()) return value;
  if (value.is_number_float()) return significant(value, 6);
  if (!value.is_structured()) return value.dump();
  std::string list;
  for (const auto& [key, child] : value.items())
    list += (list.empty() ? "" : ", ") + (value.is_object() ? key + " " : "") + shown(child);
  return list;
}

/// At most `bytes` of it, cut between characters.
std::string shortened(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (text[bytes] & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes) + "…";
}

/// A row of what each entry says; nothing where none says anything.
template <class Text>
void add_row(TableGroup& group,
             const json& entries,
             const std::string& label,
             const std::string& note,
             Text&& text) {
  TableRow row{label, note, {}, {}};
  for (const auto& entry : entries) row.cells.push_back(text(entry));
  if (std::any_of(
          row.cells.begin(), row.cells.end(), [](const auto& cell) { return !cell.empty(); }))
    group.rows.push_back(row);
}

std::string si_at(const json& entry, const char* pointer) {
  const auto& value = at(entry, pointer);
  return value.is_number() && value.get<double>() > 0 ? si_number(value, 4) : "";
}

void add_metric_rows(TableGroup& group, const json& data) {
  std::vector<std::string> names;
  for (const auto& entry : data["entries"])
    for (const auto& metric : entry["metrics"])
      if (const std::string name = metric["name"];
          std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(name);
  for (const auto& name : names) {
    const bool higher = higher_is_better(name);
    TableRow row{name, higher ? "higher is better" : "lower is better", {}, {}};
    std::optional<double> best;
    for (const auto& entry : data["entries"]) {
      row.cells.emplace_back();
      for (const auto& metric : entry["metrics"]) {
        if (metric["name"] != name) continue;
        const double mean = metric["mean"];
        const auto& spread = metric["std_over_seeds"].is_null() ? metric["std_of_one_score"]
                                                                : metric["std_over_seeds"];
        row.cells.back() = with_error(mean, spread.is_number() ? spread.get<double>() : 0);
        if (!best || (higher ? mean > *best : mean < *best))
          best = mean, row.best = row.cells.size() - 1;
      }
    }
    if (data["entries"].size() < 2) row.best.reset();
    group.rows.push_back(row);
  }
}

std::vector<TableGroup> table_of(const json& data) {
  const auto& entries = data["entries"];
  TableGroup model{"Model", {}}, training{"Training", {}}, quality{"Quality", {}},
      sampling{"Sampling", {}};
  add_row(model, entries, "Attention", "", [](const json& e) {
    const auto &attention = at(e, "/config/model.attention"),
               &placement = at(e, "/config/model.placement");
    return attention.is_string() ? attention_text(attention, placement) : "";
  });
  add_row(model, entries, "Shape", "depth × width, heads, patch", [](const json& e) {
    if (!at(e, "/config/model.depth").is_number()) return std::string();
    return fmt::format("{} × {}, {} heads, {} px",
                       at(e, "/config/model.depth").get<int64_t>(),
                       at(e, "/config/model.embed_dim").get<int64_t>(),
                       at(e, "/config/model.num_heads").get<int64_t>(),
                       at(e, "/config/model.patch_size").get<int64_t>());
  });
  add_row(
      model, entries, "Parameters", "", [](const json& e) { return si_at(e, "/run/parameters"); });
  add_row(model, entries, "GFLOP per image", "forward pass", [](const json& e) {
    return si_at(e, "/run/forward_gflop_per_image");
  });

  add_metric_rows(quality, data);
  add_row(quality, entries, "Feature network", "", [](const json& e) {
    return shown(at(e, "/scores/0/extractor"));
  });
  add_row(quality, entries, "Training seeds", "", [](const json& e) {
    return e["scores"].empty() ? "" : std::to_string(e["scores"].size());
  });

  add_row(training, entries, "Images seen", "", [](const json& e) {
    return si_at(e, "/cost/images_seen");
  });
  add_row(training, entries, "Training images/s", "median", [](const json& e) {
    return si_at(e, "/cost/images_per_sec");
  });
  add_row(training, entries, "Training time", "", [](const json& e) {
    const double seconds = e["cost"]["elapsed_sec"];
    return seconds > 0 ? duration_text(seconds) : "";
  });
  add_row(training, entries, "Memory, MiB", "peak", [](const json& e) {
    const double mib = e["cost"]["memory_mib"];
    return mib > 0 ? fmt::format("{:.0f}", mib) : "";
  });
  add_row(training, entries, "Loss", "mean of the last tenth", [](const json& e) {
    return shown(at(e, "/cost/loss")).substr(0, 7);
  });
  add_row(training, entries, "Precision", "", [](const json& e) {
    return shown(at(e, "/run/precision"));
  });
  add_row(training, entries, "Device", "", [](const json& e) {
    const auto device = shown(at(e, "/run/device")), threads = shown(at(e, "/run/threads"));
    return device + (threads.empty() ? "" : fmt::format(", {} threads", threads));
  });
  add_row(training, entries, "Data", "", [](const json& e) {
    return shown(at(e, "/run/data/describe"));
  });

  add_row(sampling, entries, "Sampler", "", [](const json& e) {
    const auto sampler = shown(at(e, "/samples/sampler")), steps = shown(at(e, "/samples/steps"));
    return sampler + (steps.empty() ? "" : fmt::format(", {} steps", steps));
  });
  add_row(sampling, entries, "Network calls per image", "", [](const json& e) {
    return shown(at(e, "/samples/nfe"));
  });
  add_row(sampling, entries, "Guidance scale", "1 is none", [](const json& e) {
    return shown(at(e, "/samples/guidance_scale"));
  });
  add_row(sampling, entries, "Sampling images/s", "", [](const json& e) {
    return si_at(e, "/samples/images_per_sec");
  });

  std::vector<TableGroup> groups;
  for (auto* group : {&quality, &model, &training, &sampling})
    if (!group->rows.empty()) groups.push_back(*group);
  return groups;
}

json view_of(const std::vector<TableGroup>& table) {
  json groups = json::array();
  for (const auto& group : table) {
    json rows = json::array();
    for (const auto& row : group.rows) {
      json cells = json::array();
      for (size_t i = 0; i < row.cells.size(); ++i)
        cells.push_back(
            {{"text", row.cells[i].empty() ? "–" : row.cells[i]}, {"best", row.best == i}});
      rows.push_back({{"label", row.label}, {"note", row.note}, {"cells", cells}});
    }
    groups.push_back({{"name", group.name}, {"rows", rows}});
  }
  return groups;
}

/// Every leaf of a value as a row: key and text; long lists are cut, the full data stands in
/// report.json.
json leaves_view(const json& value) {
  json rows = json::array();
  if (!value.is_structured() || value.empty()) return rows;
  constexpr size_t kLongest = 400;
  const std::function<void(const std::string&, const json&)> walk = [&](const std::string& key,
                                                                        const json& node) {
    const bool plain_list =
        node.is_array() &&
        std::none_of(node.begin(), node.end(), [](const json& e) { return e.is_structured(); });
    if (node.is_object() || (node.is_array() && !plain_list)) {
      for (const auto& [name, child] : node.items())
        walk(key.empty() ? name : key + "." + name, child);
      return;
    }
    rows.push_back({{"key", key}, {"value", shortened(shown(node), kLongest)}});
  };
  walk("", value);
  return rows;
}

json provenance_view(const json& data) {
  json view = json::array();
  for (size_t i = 0; i < data["entries"].size(); ++i) {
    const auto& entry = data["entries"][i];
    json parts = json::array();
    const auto add = [&](const std::string& name, const json& value) {
      const auto rows = leaves_view(value);
      if (!rows.empty()) parts.push_back({{"part", name}, {"rows", rows}});
    };
    add("Run", entry["run"]);
    add("Samples", entry["samples"]);
    add("Scores", entry["scores"]);
    view.push_back({{"name", entry["name"]},
                    {"colour", i + 1},
                    {"parts", parts},
                    {"config_toml", entry["config_toml"]}});
  }
  for (const auto& baseline : data["baselines"])
    view.push_back({{"name", baseline["name"]},
                    {"colour", 0},
                    {"parts", {{{"part", "Score"}, {"rows", leaves_view(baseline["score"])}}}},
                    {"config_toml", ""}});
  return view;
}

json values_view(const json& rows) {
  json view = json::array();
  for (const auto& row : rows) {
    json cells = json::array();
    for (const auto& value : row["values"])
      cells.push_back(value.is_null() ? "–" : shortened(shown(value), 60));
    view.push_back({{"name", row["name"]},
                    {"equal", row.value("equal", false)},
                    {"cells", cells},
                    {"first", cells[0]}});
  }
  return view;
}

json neighbours_view(const json& entries) {
  json view = json::array();
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto& found = entries[i]["neighbours"];
    if (found.is_null()) continue;
    const double median = found["median_distance"];
    auto text = fmt::format(
        "Of {} samples, against {} training pictures: median distance to the nearest {}",
        found["pictures"].get<int64_t>(),
        found["training_pictures"].get<int64_t>(),
        significant(median, 3));
    if (const auto& real = at(found, "/held_out_median_distance");
        real.is_number() && real.get<double>() > 0)
      text += fmt::format(", {} times that of real pictures kept out of training",
                          significant(median / real.get<double>(), 3));
    view.push_back({{"name", entries[i]["name"]},
                    {"colour", i + 1},
                    {"text", text + "."},
                    {"src", data_uri(formats::read_image(found["sheet"].get<std::string>()))}});
  }
  return view;
}

/// What the error bars are, and how many seeds stand behind them.
std::string score_caption(const json& data) {
  size_t seeds = 0;
  bool single_spread = false;
  for (const auto& entry : data["entries"]) {
    seeds = std::max(seeds, entry["scores"].size());
    for (const auto& metric : entry["metrics"])
      single_spread = single_spread || metric["std_of_one_score"].is_number();
  }
  if (seeds > 1)
    return fmt::format("Mean and standard deviation over {} training seeds (rings: each seed).",
                       seeds);
  return single_spread ? "Bars: standard deviation of the score itself (one training seed)."
                       : "One training seed each: no error bars.";
}

std::string numbers_note(const json& data) {
  const auto caption = score_caption(data);
  const std::string distance = data["primary_metric"];
  if (distance.empty()) return "Not scored.";
  std::string note = caption;
  if (data["entries"].size() > 1)
    note += " The best of each quality row is bold, whether or not the difference is significant.";
  return note;
}

constexpr const char* kReadingNote =
    "FD is the Fréchet distance between feature statistics of samples and reference; it is called "
    "FID only where the features are "
    "those of the FID Inception network. Distances of different feature networks, references or "
    "numbers of images can't be compared "
    "with each other.";

json view_of(const json& data,
             const std::vector<Sheet>& sheets,
             const SheetPlan& plan,
             const std::vector<NamedPlot>& plots,
             const std::optional<DotPlot>& scores) {
  json view = {
      {"title", data["title"]}, {"verdict", data["verdict"]}, {"created", data["created"]}};
  view["names"] = json::array();
  for (size_t i = 0; i < data["entries"].size(); ++i)
    view["names"].push_back({{"name", data["entries"][i]["name"]}, {"colour", i + 1}});
  view["sheets"] = json::array();
  for (const auto& sheet : sheets)
    view["sheets"].push_back({{"name", sheet.name},
                              {"colour", sheet.colour},
                              {"src", data_uri(at_most_wide(sheet.plain, kEmbeddedSheet_px))},
                              {"labels", plan.labels}});
  view["has_sheets"] = !sheets.empty();
  view["three_sheets"] = sheets.size() == 3;
  view["has_labels"] = !plan.labels.empty();
  view["samples_note"] =
      std::string("Same seeds in the same places of each sheet") +
      (plan.labels.empty() ? "." : "; a row is a class.") +
      (!sheets.empty() && sheets.back().colour == 0 ? " Real pictures belong to no seed." : "");
  view["score_plot"] = scores ? to_svg(*scores, page_palette()) : "";
  view["score_caption"] = score_caption(data);
  view["groups"] = view_of(table_of(data));
  view["columns"] = data["entries"].size() + 1;
  view["entry_count"] = data["entries"].size();
  view["scored_by_fid"] = data["primary_metric"].get<std::string>().rfind("FID", 0) == 0;
  view["warnings"] = data["warnings"];
  view["numbers_note"] = numbers_note(data);
  view["version"] = version_text().substr(0, version_text().find('\n'));
  view["reading_note"] = kReadingNote;
  view["has_plots"] = !plots.empty();
  view["plots"] = json::array();
  for (const auto& plot : plots)
    view["plots"].push_back(
        {{"svg", plot.page_svg}, {"caption", plot.caption}, {"file", plot.file}});
  view["film"] = film_view(data["entries"]);
  view["has_film"] = !view["film"]["rows"].empty();
  view["neighbours"] = neighbours_view(data["entries"]);
  view["has_neighbours"] = !view["neighbours"].empty();
  view["held"] = values_view(data["held_equal"]);
  view["differences"] = values_view(data["config_differences"]);
  view["has_differences"] = !view["differences"].empty();
  view["compared"] = data["entries"].size() > 1;
  view["provenance"] = provenance_view(data);
  auto embedded = data.dump(-1, ' ', false, json::error_handler_t::replace);
  for (size_t found = 0; (found = embedded.find('<', found)) != std::string::npos;)
    embedded.replace(found, 1, "\\u003c");
  view["data"] = embedded;
  return view;
}

/// Width on a terminal: bytes that start a UTF-8 character.
size_t glyphs(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, size_t width) {
  return text + std::string(width > glyphs(text) ? width - glyphs(text) : 0, ' ');
}

}  // namespace

void write_report(const std::string& title,
                  const std::vector<ReportEntry>& entries,
                  const std::vector<json>& baselines,
                  const fs::path& out) {
  const auto data = report_data(title, entries, baselines);
  const auto plan = plan_sheet(data["entries"]);
  const auto sheets = draw_sheets(plan, data);
  const auto plots = draw_plots(data);
  const auto scores = score_plot(data);
  const auto page = render_template(formats::read_file(asset("assets/report.html")),
                                    view_of(data, sheets, plan, plots, scores));

  fs::create_directories(out);
  std::vector<Image> pictures;
  std::vector<std::string> headings;
  for (const auto& sheet : sheets) {
    formats::write_png(out / fmt::format("samples_{}.png", file_stem(sheet.name)), sheet.labelled);
    pictures.push_back(pictures.empty() ? sheet.labelled
                                        : sheet.plain);  // class names once, at the left
    headings.push_back(sheet.name);
  }
  if (pictures.size() > 1)
    formats::write_png(out / "samples.png", side_by_side(pictures, headings));
  for (const auto& plot : plots)
    formats::write_file_atomically(out / (plot.file + ".svg"), plot.print_svg);
  if (scores) formats::write_file_atomically(out / "scores.svg", to_svg(*scores, print_palette()));
  formats::write_file_atomically(out / "report.json",
                                 data.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
  formats::write_file_atomically(out / "report.html", page);
}

std::string report_text(const std::string& title,
                        const std::vector<ReportEntry>& entries,
                        const std::vector<json>& baselines) {
  const auto data = report_data(title, entries, baselines);
  const auto table = table_of(data);
  std::vector<size_t> widths(entries.size() + 1, 0);
  for (size_t i = 0; i < entries.size(); ++i) widths[i + 1] = glyphs(entries[i].name);
  for (const auto& group : table)
    for (const auto& row : group.rows) {
      widths[0] = std::max(widths[0], glyphs(row.label));
      for (size_t i = 0; i < row.cells.size(); ++i)
        widths[i + 1] = std::max(widths[i + 1], glyphs(row.cells[i]));
    }
  std::string text =
      fmt::format("{}\n{}\n\n{}", title, data["verdict"].get<std::string>(), padded("", widths[0]));
  for (size_t i = 0; i < entries.size(); ++i) text += "  " + padded(entries[i].name, widths[i + 1]);
  for (const auto& group : table) {
    for (const auto& row : group.rows) {
      text += "\n" + padded(row.label, widths[0]);
      for (size_t i = 0; i < row.cells.size(); ++i)
        text += "  " + padded(row.cells[i].empty() ? "–" : row.cells[i], widths[i + 1]);
    }
    text += "\n";
  }
  return text;
}

}  // namespace uvic::app
