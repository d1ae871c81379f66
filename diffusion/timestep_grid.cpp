#include "diffusion/timestep_grid.h"

#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <stdexcept>

#include "diffusion/names.h"

namespace uvic::diffusion {

std::vector<double> timestep_grid(const std::string& name,
                                  const NoiseSchedule& schedule,
                                  double t_start,
                                  double t_end,
                                  int64_t intervals,
                                  double rho) {
  check_name("grid", name, {"uniform", "quadratic", "logsnr", "karras"});
  if (intervals < 1)
    throw std::invalid_argument(
        fmt::format("timestep_grid: {} intervals, expected at least 1", intervals));
  // A grid is even in some function of t: that function and its inverse.
  std::function<double(double)> warp = [](double t) { return t; }, unwarp = warp;
  if (name == "quadratic") {
    warp = [](double t) { return std::sqrt(t); };
    unwarp = [](double w) { return w * w; };
  } else if (name == "logsnr") {
    warp = [&](double t) { return schedule.half_logsnr(t); };
    unwarp = [&](double w) { return schedule.inverse_half_logsnr(w); };
  } else if (name == "karras") {
    warp = [&](double t) { return std::exp(-schedule.half_logsnr(t) / rho); };
    unwarp = [&](double w) { return schedule.inverse_half_logsnr(-rho * std::log(w)); };
  }
  const double first = warp(t_start), last = warp(t_end);
  std::vector<double> times(intervals + 1);
  for (int64_t i = 1; i < intervals; ++i) times[i] = unwarp(first + (last - first) * i / intervals);
  times.front() = t_start;
  times.back() = t_end;
  return times;
}

}  // namespace uvic::diffusion
