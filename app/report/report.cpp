#include "app/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string_view>

#include "app/report/page.h"
#include "app/report/plot.h"
#include "app/report/report_images.h"
#include "app/report/report_notes.h"
#include "app/report/report_plots.h"
#include "app/report/report_table.h"
#include "app/report/sequence_figures.h"
#include "app/report/sequence_numbers.h"
#include "app/runs/version.h"
#include "app/sampling/image_grid.h"
#include "base/process.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/formats/image_file.h"
#include "data/formats/make_folder.h"

namespace uvic::app {
namespace fs = std::filesystem;
using formats::Image;
using nlohmann::json;

namespace {

constexpr int kEmbeddedSheet_px = 1060;

/// A name that is safe as part of a file name.
std::string file_stem(const std::string& name) {
  std::string stem;
  for (const char c : name)
    stem += std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::tolower(c)) : '_';
  return stem.empty() ? "entry" : stem;
}

/// The number of the CSS class of entry i: the six colours of the page in turn.
size_t colour_class(size_t i) { return i % print_palette().series.size() + 1; }

json view_of(const Film& film, const json& entries) {
  json view = {{"moments", json::array()}, {"rows", json::array()}, {"last", 0}};
  if (film.moments.empty()) return view;
  view["last"] = film.moments.size() - 1;
  for (const int64_t moment : film.moments)
    view["moments"].push_back(base::si_number(static_cast<double>(moment)));
  for (size_t i = 0; i < film.rows.size(); ++i) {
    json frames = json::array();
    for (size_t j = 0; j < film.moments.size(); ++j)
      frames.push_back({{"src", data_uri(film.rows[i].frames[j])}, {"moment", view["moments"][j]}});
    view["rows"].push_back({{"index", i},
                            {"name", entries[film.rows[i].entry]["name"]},
                            {"colour", colour_class(film.rows[i].entry)},
                            {"frames", frames},
                            {"final", frames.back()["src"]}});
  }
  return view;
}

/// An image with a row for each entry and a column for each moment.
Image film_sheet(const Film& film, const json& entries) {
  constexpr int kFrame_px = 280;
  std::vector<Image> tiles;
  GridOptions options;
  options.columns = static_cast<int>(film.moments.size());
  for (const auto& row : film.rows) {
    for (const auto& frame : row.frames) tiles.push_back(at_most_wide(frame, kFrame_px));
    options.row_labels.push_back(entries[row.entry]["name"]);
  }
  return image_grid(tiles, options);
}

/// The text of a cell. A value and its error stay on one line.
std::string cell_text(std::string text) {
  if (text.empty()) return "–";
  constexpr std::string_view kBreaking = " ± ", kNonBreaking = "\u00a0±\u00a0";
  for (size_t at = 0; (at = text.find(kBreaking, at)) != std::string::npos;
       at += kNonBreaking.size())
    text.replace(at, kBreaking.size(), kNonBreaking);
  return text;
}

json view_of(const std::vector<TableGroup>& table) {
  json groups = json::array();
  for (const auto& group : table) {
    json rows = json::array();
    for (const auto& row : group.rows) {
      json cells = json::array();
      for (size_t i = 0; i < row.cells.size(); ++i)
        cells.push_back({{"text", cell_text(row.cells[i])}, {"best", row.best == i}});
      auto note = row.note;
      if (!row.test.empty()) note += "; " + row.test;
      rows.push_back({{"label", row.label}, {"note", note}, {"cells", cells}});
    }
    groups.push_back({{"name", group.name}, {"rows", rows}});
  }
  return groups;
}

/// Every leaf of a value as a row of key and text. Long lists are cut; report.json has all data.
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
        walk(key.empty() ? name : fmt::format("{}.{}", key, name), child);
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
                    {"colour", colour_class(i)},
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
    for (const auto& value : row["values"]) cells.push_back(value.is_null() ? "–" : shown(value));
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
    if (found.empty()) continue;  // also of latents, which have no training images here
    const double median = found["median_distance"];
    auto text = fmt::format(
        "{} samples compared with {} training images. Median distance to the nearest: {}",
        found["images"].get<int64_t>(),
        found["training_images"].get<int64_t>(),
        base::significant(median, 3));
    if (const auto& real = value_at(found, "/held_out_median_distance");
        real.is_number() && real.get<double>() > 0)
      text += fmt::format(", {} times that of real images that are not in the training data",
                          base::significant(median / real.get<double>(), 3));
    view.push_back({{"name", entries[i]["name"]},
                    {"colour", colour_class(i)},
                    {"entry", i},
                    {"text", text + "."},
                    {"file", "neighbours_" + file_stem(entries[i]["name"]) + ".png"},
                    {"src", data_uri(formats::read_image(found["sheet"].get<std::string>()))}});
  }
  return view;
}

constexpr const char* kReadingNote =
    "FD is the Fréchet distance between the feature statistics of samples and reference. It is "
    "called FID only with the features of the FID Inception network. Distances of different "
    "feature networks, references or numbers of images are not comparable.";

constexpr const char* kSequenceNote =
    "Loss is the mean cross entropy in nats a token, perplexity its exponential. Losses of "
    "different "
    "vocabularies, tokenizers or sequences are not comparable.";

json plots_view(const std::vector<ReportPlot>& plots) {
  json view = json::array();
  for (const auto& plot : plots)
    view.push_back({{"svg", plot.page_svg}, {"caption", plot.caption}, {"file", plot.file}});
  return view;
}

json sheets_view(const std::vector<Sheet>& sheets, const SheetPlan& plan) {
  json view = json::array();
  for (const auto& sheet : sheets)
    view.push_back({{"name", sheet.name},
                    {"colour", sheet.colour == 0 ? 0 : colour_class(sheet.colour - 1)},
                    {"src", data_uri(at_most_wide(sheet.plain, kEmbeddedSheet_px))},
                    {"has_labels", sheet.has_labels && !plan.labels.empty()},
                    {"labels", sheet.has_labels ? plan.labels : std::vector<std::string>()}});
  return view;
}

json view_of(const json& data,
             const std::vector<Sheet>& sheets,
             const SheetPlan& plan,
             const std::vector<ReportPlot>& plots,
             const std::vector<ReportPlot>& task_plots,
             const std::optional<ReportPlot>& scores,
             const Film& film) {
  json view = {
      {"title", data["title"]}, {"verdict", data["verdict"]}, {"created", data["created"]}};
  view["names"] = json::array();
  for (size_t i = 0; i < data["entries"].size(); ++i)
    view["names"].push_back({{"name", data["entries"][i]["name"]}, {"colour", colour_class(i)}});
  view["sheets"] = sheets_view(sheets, plan);
  view["has_sheets"] = !sheets.empty();
  view["three_sheets"] = sheets.size() == 3;
  view["samples_note"] =
      std::string("All sheets have the same seeds in the same cells.") +
      (plan.labels.empty() ? "" : " A row is a class.") +
      (!sheets.empty() && sheets.back().colour == 0 ? " Real images have no seed." : "");
  view["samples_file"] = sheets.size() > 1 ? std::string("samples.png")
                         : sheets.empty()
                             ? ""
                             : fmt::format("samples_{}.png", file_stem(sheets[0].name));
  view["score_plot"] = scores ? scores->page_svg : "";
  // The table needs the full width for more than three columns.
  view["plot_next_to_table"] = scores && data["entries"].size() <= 3;
  view["score_caption"] = scores ? scores->caption : "";
  view["groups"] = view_of(table_of(data));
  view["entry_count"] = data["entries"].size();
  view["own_metric"] = data["primary_metric"].get<std::string>().rfind("FID", 0) == 0
                           ? json()
                           : data["primary_metric"];
  view["warnings"] = data["warnings"];
  view["numbers_note"] = numbers_note(data);
  view["tests"] = tests_view(data);
  view["has_tests"] = !view["tests"].empty();
  view["version"] = version_text().substr(0, version_text().find('\n'));
  view["reading_note"] = is_of_sequences(data) ? kSequenceNote : kReadingNote;
  view["of_images"] = !is_of_sequences(data);
  view["has_plots"] = !plots.empty();
  view["plots"] = plots_view(plots);
  view["task_plots"] = plots_view(task_plots);
  view["has_task_plots"] = !task_plots.empty();
  view["film"] = view_of(film, data["entries"]);
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

}  // namespace

void write_report(const std::string& title,
                  const std::vector<ReportEntry>& entries,
                  const std::vector<json>& baselines,
                  const fs::path& out,
                  const std::string& baseline_column) {
  const auto data = report_data(title, entries, baselines, baseline_column);
  const auto plan = plan_sheet(data["entries"]);
  const auto sheets = make_sheets(plan, data);
  const auto plots = make_plots(data), task_plots = make_task_plots(data);
  const auto scores = make_score_plot(data, score_caption(data));
  const auto film = make_film(data["entries"]);
  const auto page =
      render_page("report.html", view_of(data, sheets, plan, plots, task_plots, scores, film));

  formats::make_folder(out);
  std::vector<Image> images;
  std::vector<std::string> headings;
  for (const auto& sheet : sheets) {
    formats::write_png(out / fmt::format("samples_{}.png", file_stem(sheet.name)), sheet.labelled);
    images.push_back(images.empty() ? sheet.labelled
                                    : sheet.plain);  // class names only at the left
    headings.push_back(sheet.name);
  }
  if (images.size() > 1) formats::write_png(out / "samples.png", side_by_side(images, headings));
  for (const auto* all : {&plots, &task_plots})
    for (const auto& plot : *all)
      formats::write_file_atomically(out / (plot.file + ".svg"), plot.print_svg);
  if (!film.rows.empty()) formats::write_png(out / "film.png", film_sheet(film, data["entries"]));
  for (const auto& shown : neighbours_view(data["entries"]))
    formats::write_file_atomically(
        out / shown["file"].get<std::string>(),
        formats::read_file(data["entries"][shown["entry"].get<size_t>()]["neighbours"]["sheet"]
                               .get<std::string>()));
  if (scores) formats::write_file_atomically(out / (scores->file + ".svg"), scores->print_svg);
  const auto numbers = report_numbers(data);
  for (const auto& format : table_format_choices())
    formats::write_file_atomically(out / ("table." + table_suffix(format.name)),
                                   to_text(numbers, format.name));
  formats::write_file_atomically(out / "report.json",
                                 data.dump(1, ' ', false, json::error_handler_t::replace) + "\n");
  formats::write_file_atomically(out / "report.html", page);
}

std::string report_text(const std::string& title,
                        const std::vector<ReportEntry>& entries,
                        const std::vector<json>& baselines,
                        const std::string& baseline_column) {
  const auto data = report_data(title, entries, baselines, baseline_column);
  std::vector<std::string> names;
  for (const auto& entry : entries) names.push_back(entry.name);
  return fmt::format(
      "{}\n{}\n\n{}", title, data["verdict"].get<std::string>(), table_text(table_of(data), names));
}

}  // namespace uvic::app
