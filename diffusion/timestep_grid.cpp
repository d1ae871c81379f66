#include "diffusion/timestep_grid.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace uvic::diffusion {

base::Table<TimestepGrid>& timestep_grids() {
  static base::Table<TimestepGrid> grids(
      "grid",
      {
          {"uniform",
           "evenly spaced in t",
           [](const NoiseSchedule&, double, double t) { return t; },
           [](const NoiseSchedule&, double, double w) { return w; }},
          {"quadratic",
           "evenly spaced in sqrt(t)",
           [](const NoiseSchedule&, double, double t) { return std::sqrt(t); },
           [](const NoiseSchedule&, double, double w) { return w * w; }},
          {"logsnr",
           "evenly spaced in the logarithm of the signal-to-noise ratio",
           [](const NoiseSchedule& s, double, double t) { return s.half_logsnr(t); },
           [](const NoiseSchedule& s, double, double w) { return s.inverse_half_logsnr(w); }},
          {"karras",
           "evenly spaced in (sigma / alpha)^(1 / rho)",
           [](const NoiseSchedule& s, double rho, double t) {
             return std::exp(-s.half_logsnr(t) / rho);
           },
           [](const NoiseSchedule& s, double rho, double w) {
             return s.inverse_half_logsnr(-rho * std::log(w));
           }},
      });
  return grids;
}

std::vector<double> timestep_grid(const std::string& name,
                                  const NoiseSchedule& schedule,
                                  double t_start,
                                  double t_end,
                                  int64_t intervals,
                                  double rho) {
  const auto& grid = timestep_grids().at(name);
  if (intervals < 1)
    throw std::invalid_argument(
        fmt::format("timestep_grid: {} intervals, expected at least 1", intervals));
  const double first = grid.warp(schedule, rho, t_start), last = grid.warp(schedule, rho, t_end);
  std::vector<double> times(intervals + 1);
  for (int64_t i = 1; i < intervals; ++i)
    times[i] = grid.unwarp(schedule, rho, first + (last - first) * i / intervals);
  times.front() = t_start;
  times.back() = t_end;
  return times;
}

}  // namespace uvic::diffusion
