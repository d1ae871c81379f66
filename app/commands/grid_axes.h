// What the rows and columns of uvic grid can be, and what each image is made of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/commands/grid.h"
#include "app/runs/network_source.h"
#include "app/runs/run_dir.h"
#include "base/table.h"

namespace uvic::app {

/// What one image of the figure is made of.
struct Cell {
  size_t run = 0, checkpoint = 0;
  double guidance_scale = 1;
  int64_t steps = 0;    // 0: the sampler's
  std::string sampler;  // empty: the run's
  uint64_t seed = 0;
  int64_t label = -1;  // -1: as uvic sample gives it to the seed
  size_t prompt = 0;   // of GridValues::prompts, where there are any
};

/// A network of the figure.
struct OpenedRun {
  std::string name;
  std::vector<NumberedFile> checkpoints;
  SampleSource source;  // of the first checkpoint
};

/// All values of all axes. A figure uses two of them whole, and of the others the first.
struct GridValues {
  std::vector<OpenedRun> runs;
  std::vector<uint64_t> seeds;
  std::vector<int64_t> labels;
  std::vector<std::string> prompts;  // empty: the networks take no text
  std::vector<double> scales;
  std::vector<int64_t> steps;
  std::vector<std::string> samplers;
};

/// A row of the table of axes.
struct GridAxis {
  const char* name;
  const char* help;
  size_t (*count)(const GridValues& values);
  void (*set)(const GridValues& values, size_t index, Cell& cell);
  std::string (*label)(const GridValues& values, size_t index);
};

/// class, prompt, seed, guidance, steps, sampler, checkpoint, run.
const base::Table<GridAxis>& grid_axes();

/// Throws std::invalid_argument where --steps or --samplers can't be read.
void check_grid_lists(const GridCommandOptions& options);

/// Opens the runs and parses the lists; what is empty is the run's. Throws std::invalid_argument
/// where an axis has no values or runs have images of different sizes, and what opening throws.
GridValues grid_values(const GridCommandOptions& options);

/// The cells, row by row. Throws std::invalid_argument for more than ten thousand.
std::vector<std::vector<Cell>> grid_cells(const GridValues& values,
                                          const GridAxis& rows,
                                          const GridAxis& columns);

}  // namespace uvic::app
