// The points of a sweep: every combination of what its options list.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "app/commands/sweep.h"
#include "app/runs/run_config.h"

namespace uvic::app {

struct SweepPoint {
  std::string sampler;  ///< as --samplers has it
  int64_t budget = 0;   ///< evaluations, as --evaluations has them
  diffusion::SamplerConfig config;
  diffusion::GuidanceConfig guidance;
  std::string interval;     ///< as --guidance_interval has it; empty: the run's
  int64_t images_seen = 0;  ///< of the checkpoint
  std::filesystem::path weights;
};

/// The lists of the options, parsed; what is empty is filled from the run.
struct SweepAxes {
  std::vector<std::string> samplers;
  std::vector<int64_t> evaluations;
  std::vector<double> scales;
  std::vector<std::string> intervals;
  std::vector<std::pair<int64_t, std::filesystem::path>> checkpoints;
};

/// "1,1.5,2"; empty where the text is. Throws std::invalid_argument.
std::vector<double> parse_scales(const std::string& text);

/// "dpm_solver_pp:order=3": the sampler's options, all else as it is by default. Throws
/// std::invalid_argument for method adaptive too, whose evaluations can't be chosen.
diffusion::SamplerConfig parse_sampler(const std::string& text);

/// What can be said without the run. Throws std::invalid_argument.
void check_sweep(const SweepOptions& options);

/// The axes over `training`, the run's config, and the weights of its folder. Throws
/// std::invalid_argument for a checkpoint that is not there, std::runtime_error where the run has
/// no weights.
SweepAxes sweep_axes(const SweepOptions& options, const RunConfig& training);

/// What of the options changes no point: an option of a sampler that does not read it, steps, which
/// follow from the evaluations, times of guidance where there is none, weights of another feature
/// network. A line each.
std::vector<std::string> sweep_notes(const SweepOptions& options, const SweepAxes& axes);

/// The points in the order of doing: checkpoints, then guidance, samplers, evaluations. A sampler
/// that needs more evaluations for a single step than a budget allows has no point there. Throws
/// std::invalid_argument where a point can't be sampled or none is left.
std::vector<SweepPoint> sweep_points(const SweepAxes& axes, const RunConfig& training);

}  // namespace uvic::app
