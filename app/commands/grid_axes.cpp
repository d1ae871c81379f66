#include "app/commands/grid_axes.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include "app/commands/sweep_plan.h"
#include "app/runs/checkpoint_list.h"
#include "app/runs/latent_space.h"
#include "app/sampling/sample_subject.h"
#include "app/sampling/seed_list.h"
#include "base/check.h"
#include "base/list_text.h"
#include "base/text_format.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostCells = 10000;

std::string class_name(const SampleSource& source, int64_t label) {
  const auto names = source.class_names.size();
  if (label >= 0 && label < static_cast<int64_t>(names))
    return source.class_names[static_cast<size_t>(label)];
  return label == source.training.model.input().num_classes - 1 && has_null_class(source.training)
             ? "no class"
             : std::to_string(label);
}

std::vector<int64_t> parse_steps(const std::string& text) {
  std::vector<int64_t> all;
  for (const auto& word : base::list_items(text)) {
    int64_t steps = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), steps);
    base::require(
        error == std::errc() && end == word.data() + word.size() && steps > 0 && steps <= 100000,
        "--steps {}: wants counts, such as 5,10,20",
        text);
    all.push_back(steps);
  }
  if (all.empty()) all.push_back(0);
  return all;
}

std::vector<std::string> parse_samplers(const std::string& text) {
  std::vector<std::string> all;
  for (const auto& word : base::list_items(text)) {
    parse_sampler(word);
    all.push_back(word);
  }
  if (all.empty()) all.emplace_back();
  return all;
}

std::vector<OpenedRun> open_runs(const GridCommandOptions& options) {
  std::vector<OpenedRun> runs;
  for (const auto& folder : options.run) {
    const RunDir run(folder);
    const auto path = fs::absolute(folder).lexically_normal();
    OpenedRun opened;
    opened.name = (path.has_filename() ? path : path.parent_path()).filename().string();
    opened.checkpoints = chosen_checkpoints(run, options.checkpoints);
    opened.source =
        open_sample_source(folder, opened.checkpoints[0].path.string(), "", options.encoders);
    runs.push_back(std::move(opened));
  }
  const auto size_of = [](const OpenedRun& run) {
    return image_size_of(run.source.training.encoders, run.source.training.model.input());
  };
  for (const auto& run : runs) {
    base::require(!run.source.training.is_of_sequences(),
                  "{}: a network of sequences, which has no images",
                  run.name);
    base::require(size_of(run) == size_of(runs[0]),
                  "{}: images of {} px, {} has {} px; a figure has one size",
                  run.name,
                  size_of(run),
                  runs[0].name,
                  size_of(runs[0]));
    check_text({{}, {}, {}, {}, {}, {}, 9, 1, 1, options.prompt},
               run.source.training.model.input());
  }
  return runs;
}

/// The class that a cell without one has: as uvic sample deals them out.
int64_t label_of(const GridValues& values, const Cell& cell) {
  if (cell.label >= 0 || values.labels.empty()) return cell.label;
  return values.labels[cell.seed % values.labels.size()];
}

}  // namespace

const base::Table<GridAxis>& grid_axes() {
  static const base::Table<GridAxis> axes(
      "grid axis",
      {{"class",
        "",
        [](const GridValues& v) { return v.labels.size(); },
        [](const GridValues& v, size_t i, Cell& cell) { cell.label = v.labels[i]; },
        [](const GridValues& v, size_t i) { return class_name(v.runs[0].source, v.labels[i]); }},
       {"prompt",
        "",
        [](const GridValues& v) { return v.prompts.size(); },
        [](const GridValues&, size_t i, Cell& cell) { cell.prompt = i; },
        [](const GridValues& v, size_t i) { return v.prompts[i]; }},
       {"seed",
        "",
        [](const GridValues& v) { return v.seeds.size(); },
        [](const GridValues& v, size_t i, Cell& cell) { cell.seed = v.seeds[i]; },
        [](const GridValues& v, size_t i) { return std::to_string(v.seeds[i]); }},
       {"guidance",
        "guidance_scale",
        [](const GridValues& v) { return v.scales.size(); },
        [](const GridValues& v, size_t i, Cell& cell) { cell.guidance_scale = v.scales[i]; },
        [](const GridValues& v, size_t i) { return base::significant(v.scales[i], 4); }},
       {"steps",
        "",
        [](const GridValues& v) { return v.steps.size(); },
        [](const GridValues& v, size_t i, Cell& cell) { cell.steps = v.steps[i]; },
        [](const GridValues& v, size_t i) {
          return std::to_string(v.steps[i] > 0 ? v.steps[i]
                                               : v.runs[0].source.training.sample.steps);
        }},
       {"sampler",
        "",
        [](const GridValues& v) { return v.samplers.size(); },
        [](const GridValues& v, size_t i, Cell& cell) { cell.sampler = v.samplers[i]; },
        [](const GridValues& v, size_t i) {
          return v.samplers[i].empty() ? v.runs[0].source.training.sample.sampler : v.samplers[i];
        }},
       {"checkpoint",
        "weights of the first run, by images seen",
        [](const GridValues& v) { return v.runs[0].checkpoints.size(); },
        [](const GridValues&, size_t i, Cell& cell) { cell.checkpoint = i; },
        [](const GridValues& v, size_t i) {
          return base::si_number(static_cast<double>(v.runs[0].checkpoints[i].images_seen));
        }},
       {"run",
        "",
        [](const GridValues& v) { return v.runs.size(); },
        [](const GridValues&, size_t i, Cell& cell) { cell.run = i; },
        [](const GridValues& v, size_t i) { return v.runs[i].name; }}});
  return axes;
}

std::vector<base::Choice> grid_axis_choices() { return grid_axes().choices(); }

void check_grid_lists(const GridCommandOptions& options) {
  parse_steps(options.steps);
  parse_samplers(options.samplers);
}

GridValues grid_values(const GridCommandOptions& options) {
  GridValues values;
  values.runs = open_runs(options);
  const auto& first = values.runs[0].source;
  const auto seeds = SeedList::parse(options.seeds);
  values.seeds = seeds.slice(0, std::min<uint64_t>(seeds.size(), kMostCells));
  values.labels = chosen_classes(options.labels, first);
  values.prompts = options.prompt;
  values.scales = parse_scales(options.guidance_scale);
  if (values.scales.empty()) values.scales = {first.training.guidance.guidance_scale};
  values.steps = parse_steps(options.steps);
  values.samplers = parse_samplers(options.samplers);
  const auto has = [&](const char* axis) {
    return options.rows == axis || options.columns == axis;
  };
  base::require(!has("class") || !values.labels.empty(),
                "--rows, --columns: {} takes no classes; choose another than class",
                values.runs[0].name);
  base::require(!has("prompt") || !values.prompts.empty(),
                "--rows, --columns: prompt needs --prompt, given once for each prompt");
  base::require(values.runs.size() == 1 || has("run"),
                "--run is given {} times; give --rows run or --columns run",
                values.runs.size());
  return values;
}

std::vector<std::vector<Cell>> grid_cells(const GridValues& values,
                                          const GridAxis& rows,
                                          const GridAxis& columns) {
  Cell plain;
  plain.seed = values.seeds[0];
  plain.guidance_scale = values.scales[0];
  plain.steps = values.steps[0];
  plain.sampler = values.samplers[0];
  std::vector<std::vector<Cell>> cells;
  base::require(rows.count(values) * columns.count(values) <= kMostCells,
                "grid: {} x {} images; at most {} in a figure",
                rows.count(values),
                columns.count(values),
                kMostCells);
  for (size_t i = 0; i < rows.count(values); ++i) {
    cells.emplace_back();
    for (size_t j = 0; j < columns.count(values); ++j) {
      auto cell = plain;
      rows.set(values, i, cell);
      columns.set(values, j, cell);
      cell.label = label_of(values, cell);
      cells.back().push_back(cell);
    }
  }
  return cells;
}

}  // namespace uvic::app
