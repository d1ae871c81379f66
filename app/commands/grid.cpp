#include "app/commands/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>
#include <utility>

#include "app/commands/grid_axes.h"
#include "app/commands/sweep_plan.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/checkpoint_list.h"
#include "app/runs/network_source.h"
#include "app/runs/run_dir.h"
#include "app/sampling/cuda_graph.h"
#include "app/sampling/figure.h"
#include "app/sampling/generate.h"
#include "app/sampling/image_grid.h"
#include "app/sampling/sample_record.h"
#include "app/sampling/sample_subject.h"
#include "app/sampling/seed_list.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "base/table.h"
#include "base/text_format.h"
#include "data/formats/json.h"
#include "data/formats/output_file.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

GenerationSettings settings_of_cell(const SampleSource& source, const Cell& cell) {
  GenerationSettings settings{
      source.training.diffusion, source.training.sample, source.training.guidance};
  if (!cell.sampler.empty()) {
    const auto steps = settings.sampler.steps;
    settings.sampler = parse_sampler(cell.sampler);
    if (cell.sampler.find("steps=") == std::string::npos) settings.sampler.steps = steps;
  }
  if (cell.steps > 0) settings.sampler.steps = cell.steps;
  settings.guidance.guidance_scale = cell.guidance_scale;
  settings.validate();
  check_guidance(settings.guidance, source.training);
  return settings;
}

/// Cells that one network makes with one set of settings, at their places.
struct Task {
  Cell cell;
  std::vector<std::pair<size_t, size_t>> places;
};

std::vector<Task> tasks_of(const std::vector<std::vector<Cell>>& cells) {
  std::vector<Task> tasks;
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < cells.size(); ++i)
    for (size_t j = 0; j < cells[i].size(); ++j) {
      const auto& cell = cells[i][j];
      const auto key = fmt::format("{} {} {} {} {}",
                                   cell.run,
                                   cell.checkpoint,
                                   cell.guidance_scale,
                                   cell.steps,
                                   cell.sampler);
      const auto [found, is_new] = known.emplace(key, tasks.size());
      if (is_new) tasks.push_back({cell, {}});
      tasks[found->second].places.emplace_back(i, j);
    }
  // One network after the other: each is opened once.
  std::stable_sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) {
    return std::pair(a.cell.run, a.cell.checkpoint) < std::pair(b.cell.run, b.cell.checkpoint);
  });
  return tasks;
}

/// The figure's images, and the settings of each task for the record.
class Painter {
 public:
  Painter(const GridCommandOptions& options,
          const GridValues& values,
          const std::vector<std::vector<Cell>>& cells)
      : options_(options),
        values_(values),
        cells_(cells),
        device_(base::choose_device(options.device)),
        precision_(base::resolve_precision(options.precision, device_)) {}

  std::vector<std::vector<formats::Image>> paint(json& record) {
    const KeepRecordings keep_recordings;
    images_.resize(cells_.size());
    for (size_t i = 0; i < cells_.size(); ++i) images_[i].resize(cells_[i].size());
    base::CountProgress progress("generated", "images");
    const auto all = static_cast<int64_t>(cells_.size() * cells_[0].size());
    for (const auto& task : tasks_of(cells_)) {
      open(task.cell);
      auto settings = settings_of_cell(source_, task.cell);
      settings.latent = encoded_.latent;
      settings.empty_context = encoded_.empty_context;
      record["settings"].push_back(
          sample_record(source_, std::nullopt, settings, precision_, device_));
      for (size_t first = 0; first < task.places.size();
           first += static_cast<size_t>(options_.batch_size)) {
        paint_batch(task, settings, first);
        progress(done_, all);
      }
      for (const auto& [i, j] : task.places)
        record["cells"].push_back({{"row", i},
                                   {"column", j},
                                   {"seed", cells_[i][j].seed},
                                   {"class", cells_[i][j].label},
                                   {"prompt", prompt_of(cells_[i][j])},
                                   {"settings", record["settings"].size() - 1}});
    }
    return std::move(images_);
  }

 private:
  void open(const Cell& cell) {
    const std::pair place(cell.run, cell.checkpoint);
    if (network_ && opened_ == place) return;
    source_ = open_sample_source(options_.run[cell.run],
                                 values_.runs[cell.run].checkpoints[cell.checkpoint].path.string(),
                                 "",
                                 options_.encoders);
    const auto compute = base::compute_dtype(precision_);
    network_ = source_.network(device_, compute);
    text_ = open_encoders(source_, device_, compute, encoded_).text;
    opened_ = place;
  }

  json prompt_of(const Cell& cell) const {
    return values_.prompts.empty() ? json() : json(values_.prompts[cell.prompt]);
  }

  void paint_batch(const Task& task, const GenerationSettings& settings, size_t first) {
    const auto end = std::min(task.places.size(), first + static_cast<size_t>(options_.batch_size));
    GenerationRequest request;
    std::vector<torch::Tensor> contexts;
    for (size_t k = first; k < end; ++k) {
      const auto& cell = cells_[task.places[k].first][task.places[k].second];
      request.seeds.push_back(cell.seed);
      if (cell.label >= 0) request.labels.push_back(cell.label);
      // A text's bits do not depend on its batch.
      if (text_)
        contexts.push_back(
            text_->encode(std::vector<std::string>{values_.prompts[cell.prompt]})[0]);
    }
    if (text_) request.contexts = torch::stack(contexts);
    const auto images = to_images(generate(*network_, settings, request).images);
    for (size_t k = first; k < end; ++k)
      images_[task.places[k].first][task.places[k].second] = images[k - first];
    done_ += static_cast<int64_t>(end - first);
  }

  const GridCommandOptions& options_;
  const GridValues& values_;
  const std::vector<std::vector<Cell>>& cells_;
  torch::Device device_;
  std::string precision_;
  SampleSource source_;
  model::NetworkPtr network_;
  GenerationSettings encoded_;  ///< its autoencoder and empty context
  std::shared_ptr<const TextEncoder> text_;
  std::pair<size_t, size_t> opened_;
  std::vector<std::vector<formats::Image>> images_;
  int64_t done_ = 0;
};

std::vector<std::string> labels_of(const GridValues& values, const GridAxis& axis) {
  std::vector<std::string> labels;
  for (size_t i = 0; i < axis.count(values); ++i) labels.push_back(axis.label(values, i));
  return labels;
}

}  // namespace

void GridCommandOptions::validate() const {
  base::check_fields(*this);
  base::require(!run.empty(), "grid: --run is missing; give the folder of a run");
  base::require(!out.empty(), "grid: --out is missing; give the figure, FILE.png, .svg or .pdf");
  base::require(rows != columns, "--rows {0}, --columns {0}: give two different ones", rows);
  const auto ending = fs::path(out).extension();
  base::require(ending == ".png" || ending == ".svg" || ending == ".pdf",
                "--out {}: want a name ending in .png, .svg or .pdf",
                out);
  check_checkpoint_list(checkpoints);
  parse_scales(guidance_scale);
  check_grid_lists(*this);
  SeedList::parse(seeds);
}

json run_grid(const GridCommandOptions& options) {
  options.validate();
  base::set_up_process(options.threads);
  base::catch_stop_signals();
  const auto record_path = options.out + ".json";
  formats::check_output_file(options.out, options.overwrite);
  formats::check_output_file(record_path, options.overwrite);
  const auto values = grid_values(options);
  const auto &rows = grid_axes().at(options.rows), &columns = grid_axes().at(options.columns);
  const auto cells = grid_cells(values, rows, columns);
  json record = {{"out", options.out},
                 {"rows", {{"axis", rows.name}, {"values", labels_of(values, rows)}}},
                 {"columns", {{"axis", columns.name}, {"values", labels_of(values, columns)}}},
                 {"command", base::command_line()},
                 {"version", UVIC_VERSION},
                 {"settings", json::array()},
                 {"cells", json::array()}};
  Figure figure;
  figure.rows = Painter(options, values, cells).paint(record);
  if (options.row_labels) figure.row_labels = labels_of(values, rows);
  if (options.column_labels) figure.column_labels = labels_of(values, columns);
  if (options.titles && options.row_labels && rows.name != std::string("class"))
    figure.row_title = rows.name;
  if (options.titles && options.column_labels && columns.name != std::string("class"))
    figure.column_title = columns.name;
  figure.scale = static_cast<int>(options.scale);
  figure.gap_px = static_cast<int>(options.gap);
  figure.font_px = static_cast<int>(options.font);
  write_figure(options.out, figure);
  formats::write_json(record_path, record);
  return record;
}

void add_grid_command(CLI::App& app) {
  auto options = std::make_shared<GridCommandOptions>();
  auto* command = app.add_subcommand(
      "grid", "Samples as a figure: rows and columns by class, seed, guidance, checkpoint, run");
  add_fields(*command, *options);
  command->callback([options] {
    try {
      const auto record = run_grid(*options);
      print_json(record);
      fmt::print("{}  {} x {} images, {} by {}\n",
                 options->out,
                 record["rows"]["values"].size(),
                 record["columns"]["values"].size(),
                 options->rows,
                 options->columns);
    } catch (const base::StopRequested&) {
      fmt::print(stderr, "stopped; nothing was written\n");
    }
  });
}

}  // namespace uvic::app
