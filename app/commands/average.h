// uvic average: an average of a run's weights that was not kept, from power averages that were.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/field.h"

namespace uvic::app {

struct AverageOptions {
  std::string run;  // positional
  std::string out;  // positional
  double width = 0.1;
  int64_t images = 0;
  bool overwrite = false;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("width",
          width,
          Field{"Relative width (sigma_rel) of the average: its standard deviation over the images "
                "seen",
                base::from(0.001, 0.28)});
    visit("images",
          images,
          Field{"Images at which the average ends, those of the first checkpoint from there on; 0: "
                "the latest",
                base::from(0, base::kMostCount)});
    visit("overwrite", overwrite, Field{"Replace OUT if it exists"});
  }
};

struct AverageResult {
  std::filesystem::path out;
  int64_t kept = 0;    ///< averages that it was made of
  int64_t images = 0;  ///< at which it ends
  double power = 0;
  double error = 0;       ///< Reconstruction::error
  double factor_sum = 0;  ///< sum of |factors|: what multiplies the rounding of the kept ones
  double narrowest = 0, widest = 0;  ///< of the kept ones
};

/// OUT.safetensors: the sum of factor times kept average, in float64, with the metadata of the last
/// of them and uvic.ema_width, uvic.ema_error. Throws std::invalid_argument where the run has kept
/// none that ends at `images` or after.
AverageResult run_average(const AverageOptions& options);

void add_average_command(CLI::App& app);

}  // namespace uvic::app
