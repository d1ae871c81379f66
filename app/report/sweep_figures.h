// What a sweep shows: tables, distance against evaluations, heat maps. `sweep` as in run_sweep()
// (app/commands/sweep.h).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/report/number_table.h"

namespace uvic::app {

/// The index of the point of the lowest distance ("point"), and "differences": of each point the
/// difference from it and the error of that difference, null where it is not known. With the same
/// seeds in every point it is the jackknife of the differences of leave_out.
nlohmann::json lowest_of(const nlohmann::json& points);

/// A table of two options, one for each combination of the others, with a caption that holds what
/// must be known to compare the numbers: count and seeds, reference, extractor, guidance,
/// checkpoint, precision, version, and what the errors resample.
std::vector<NumberTable> sweep_tables(const nlohmann::json& sweep);

/// Every point as a row.
NumberTable sweep_list(const nlohmann::json& sweep);

struct SweepFigure {
  std::string file, svg;  ///< file without ".svg"
};
/// sweep, distance against evaluations with error bars, where more than one count of them is there;
/// and for each two options that differ a heat map, "heat_sampler_evaluations".
std::vector<SweepFigure> sweep_figures(const nlohmann::json& sweep);

}  // namespace uvic::app
