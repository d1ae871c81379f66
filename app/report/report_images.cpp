#include "app/report/report_images.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "app/report/report_data.h"
#include "app/sampling/generate.h"
#include "app/sampling/image_grid.h"
#include "app/sampling/sample_folder.h"
#include "data/formats/json.h"
#include "data/formats/json_fields.h"

namespace uvic::app {
namespace fs = std::filesystem;
using formats::Image;
using nlohmann::json;

namespace {

constexpr int kSheetColumns = 8, kSheetRows = 10, kFilmFrames = 8, kFrame_px = 640;

/// The path of the sample of a seed, if it exists.
std::optional<fs::path> sample_path(const fs::path& folder, uint64_t seed) {
  const auto path = sampled_image_path(folder, seed);
  return fs::exists(path) ? std::optional(path) : std::nullopt;
}

std::map<uint64_t, int64_t> labels_by_seed(const json& samples) {
  std::map<uint64_t, int64_t> labels;
  const auto classes = formats::integers_field(samples, "classes", "samples.json");
  if (classes.empty()) return labels;
  const auto seeds = sample_seeds(samples);
  const auto classes_of_seeds = labels_in_turn(seeds, classes);
  for (size_t i = 0; i < seeds.size(); ++i) labels[seeds[i]] = classes_of_seeds[i];
  return labels;
}

std::map<uint64_t, std::string> prompts_by_seed(const json& samples) {
  std::map<uint64_t, std::string> by_seed;
  const auto prompts = formats::texts_field(samples, "prompts", "samples.json");
  if (prompts.empty()) return by_seed;
  for (const auto seed : sample_seeds(samples)) by_seed[seed] = prompts[seed % prompts.size()];
  return by_seed;
}

std::string class_name(const json& entry, int64_t label) {
  for (const auto* pointer : {"/samples/class_names", "/run/data/class_names"}) {
    const json::json_pointer path(pointer);
    if (!entry.contains(path) || !entry[path].is_array()) continue;
    const auto& names = entry[path];
    if (label >= 0 && label < static_cast<int64_t>(names.size()) &&
        names[static_cast<size_t>(label)].is_string())
      return names[static_cast<size_t>(label)];
  }
  return fmt::format("class {}", label);
}

/// The sheet of one samples folder; nothing if all files are missing.
std::optional<Image> sheet_of(const SheetPlan& plan, const fs::path& samples, bool labelled) {
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  size_t columns = 1;
  for (const auto& row : plan.rows) columns = std::max(columns, row.size());
  bool any = false;
  for (const auto& row : plan.rows)
    for (size_t i = 0; i < columns; ++i) {
      const auto path = i < row.size() ? sample_path(samples, row[i]) : std::nullopt;
      tiles.push_back(path ? formats::read_image(*path) : Image{});
      any = any || path;
      if (plan.prompts.empty()) continue;
      const auto prompt = i < row.size() ? plan.prompts.find(row[i]) : plan.prompts.end();
      captions.push_back(prompt == plan.prompts.end() ? "" : prompt->second);
    }
  if (!any) return std::nullopt;
  GridOptions options;
  options.columns = static_cast<int>(columns);
  if (labelled) options.row_labels = plan.labels;
  options.captions = captions;
  return image_grid(tiles, options);
}

/// Whether the images of a folder have the classes of the samples. Real images may not
/// (write_real_images).
bool has_classes(const fs::path& folder) {
  const auto record = folder / "real.json";
  return !fs::exists(record) ||
         formats::flag_field(formats::read_json(record), "labelled", true, record.string());
}

/// The sample grids of a run, by images seen.
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

/// At most kFilmFrames of them, as make_film() describes.
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

}  // namespace

SheetPlan plan_sheet(const json& entries) {
  std::optional<std::vector<uint64_t>> shared;
  std::optional<std::map<uint64_t, int64_t>> labels;
  std::map<uint64_t, std::string> prompts;
  const json* first = nullptr;
  for (const auto& entry : entries) {
    const auto seeds = sample_seeds(entry["samples"]);
    if (seeds.empty()) continue;
    const auto own_labels = labels_by_seed(entry["samples"]);
    if (!first) {
      first = &entry, shared = seeds, labels = own_labels;
      prompts = prompts_by_seed(entry["samples"]);
      continue;
    }
    const std::set<uint64_t> own(seeds.begin(), seeds.end());
    shared->erase(
        std::remove_if(
            shared->begin(), shared->end(), [&](uint64_t seed) { return !own.count(seed); }),
        shared->end());
    if (own_labels != *labels) labels->clear();
    if (prompts_by_seed(entry["samples"]) != prompts) prompts.clear();
  }
  SheetPlan plan;
  plan.prompts = prompts;
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
    // If some classes have one seed more than others, the rows are cut to the same length.
    size_t least = kSheetColumns, most = 0;
    for (const auto& row : plan.rows)
      least = std::min(least, row.size()), most = std::max(most, row.size());
    if (2 * least > most)
      for (auto& row : plan.rows) row.resize(least);
    return plan;
  }
  for (size_t i = 0; i < shared->size() && plan.rows.size() < kSheetColumns; i += kSheetColumns)
    plan.rows.emplace_back(
        shared->begin() + static_cast<long>(i),
        shared->begin() + static_cast<long>(std::min(shared->size(), i + kSheetColumns)));
  return plan;
}

std::vector<Sheet> make_sheets(const SheetPlan& plan, const json& data) {
  std::vector<Sheet> sheets;
  if (plan.rows.empty()) return sheets;
  const auto add = [&](const std::string& name, size_t colour, const std::string& folder) {
    if (folder.empty()) return;
    const auto plain = sheet_of(plan, folder, false);
    if (!plain) return;
    const bool labelled = has_classes(folder);
    sheets.push_back({name, colour, *plain, *sheet_of(plan, folder, labelled), labelled});
  };
  for (size_t i = 0; i < data["entries"].size(); ++i)
    add(data["entries"][i]["name"], i + 1, data["entries"][i]["samples_folder"]);
  for (const auto& baseline : data["baselines"])
    add(baseline["name"], 0, baseline["score"].value("images_folder", ""));
  return sheets;
}

Film make_film(const json& entries) {
  std::vector<std::map<int64_t, fs::path>> grids;
  for (const auto& entry : entries)
    grids.push_back(grids_of(entry["run_folder"].get<std::string>()));
  std::map<int64_t, size_t> counts;
  for (const auto& own : grids)
    for (const auto& [images_seen, path] : own) ++counts[images_seen];
  const auto with_grids = static_cast<size_t>(
      std::count_if(grids.begin(), grids.end(), [](const auto& own) { return !own.empty(); }));
  std::vector<int64_t> shared;
  for (const auto& [images_seen, count] : counts)
    if (count == with_grids) shared.push_back(images_seen);
  Film film{film_moments(shared), {}};
  if (film.moments.empty()) return film;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (grids[i].empty()) continue;
    film.rows.push_back({i, {}});
    for (const int64_t moment : film.moments)
      film.rows.back().frames.push_back(
          at_most_wide(formats::read_image(grids[i].at(moment)), kFrame_px));
  }
  return film;
}

}  // namespace uvic::app
