// Which columns and runs a comparison has, and what they will cost.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "app/commands/compare.h"

namespace uvic::app {

/// A column that differs from the configs: assignments as options take them, and its name.
struct ColumnVariant {
  std::string name;
  std::vector<std::string> assignments;
};

/// Every --set with every combination of the values of --grid; one of no name and no assignments
/// where neither is given. Names that --set does not give are the assignments without sections:
/// "placement=all, lr=1e-4". Throws std::invalid_argument for what can't be read.
std::vector<ColumnVariant> column_variants(const CompareOptions& options);

/// All of a config that makes runs repeats of one another: everything but the seed and the place.
std::string repeat_key(RunConfig config);

/// "0-4999": the seeds of the samples of every run.
std::string compared_seeds(const CompareOptions& options, int64_t count);

}  // namespace uvic::app
