// The grid of times of a sampler.
#pragma once

#include <string>
#include <vector>

#include "base/table.h"
#include "diffusion/noise_schedule.h"

namespace uvic::diffusion {

/// One row of the table of grids. A grid is evenly spaced in a function w of t.
struct TimestepGrid {
  const char* name;
  const char* help;
  double (*warp)(const NoiseSchedule& schedule, double rho, double t);
  double (*unwarp)(const NoiseSchedule& schedule, double rho, double w);  ///< the inverse
};

/// Every grid with its function w:
///
/// uniform    t
/// quadratic  sqrt(t)                   Song et al. 2021, arXiv:2010.02502
/// logsnr     half_logsnr               Lu et al. 2022, arXiv:2206.00927
/// karras     (sigma / alpha)^(1/rho)   Karras et al. 2022, arXiv:2206.00364, eq. 5
base::Table<TimestepGrid>& timestep_grids();

/// intervals + 1 times from t_start to t_end, both exact. Either may be the larger. Throws
/// std::invalid_argument for an unknown name or intervals < 1.
std::vector<double> timestep_grid(const std::string& name,
                                  const NoiseSchedule& schedule,
                                  double t_start,
                                  double t_end,
                                  int64_t intervals,
                                  double rho = 7);

}  // namespace uvic::diffusion
