#include "diffusion/sampler.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "base/check.h"
#include "diffusion/combine.h"
#include "diffusion/samplers/ddim.h"
#include "diffusion/samplers/ddpm.h"
#include "diffusion/samplers/dpm_solver.h"
#include "diffusion/samplers/dpm_solver_singlestep.h"
#include "diffusion/samplers/euler_maruyama.h"
#include "diffusion/samplers/heun.h"
#include "diffusion/samplers/sampler_call.h"
#include "diffusion/samplers/unipc.h"
#include "diffusion/timestep_grid.h"

namespace uvic::diffusion {
namespace {

bool ends_at_zero(const SamplerConfig& config) {
  return config.last_step == "auto" ? sampler_info(config.sampler).ends_at_zero
                                    : config.last_step == "zero";
}

}  // namespace

base::Table<SamplerInfo>& samplers() {
  static base::Table<SamplerInfo> table(
      "sampler",
      {
          {"ddpm",
           "Ancestral sampling: the learned reverse chain, noise in every step; needs hundreds of "
           "steps",
           "Ho et al. 2020, arXiv:2006.11239",
           "uniform",
           true,
           true,
           sample_ddpm,
           /*in_sweep=*/true},
          {"ddim",
           "First-order ODE step along eps; eta > 0 adds noise, eta = 1 is ddpm",
           "Song et al. 2021, arXiv:2010.02502",
           "uniform",
           false,
           true,
           sample_ddim,
           /*in_sweep=*/true},
          {"euler_maruyama",
           "Euler-Maruyama on the reverse SDE; U-ViT's 1000-step recipe for pixels",
           "Song et al. 2021, arXiv:2011.13456",
           "uniform",
           true,
           true,
           sample_euler_maruyama},
          {"euler",
           "Euler on the probability flow ODE in t: the plain baseline",
           "Song et al. 2021, arXiv:2011.13456",
           "uniform",
           false,
           true,
           sample_euler},
          {"heun",
           "Second-order steps in sigma / alpha, two evaluations each; s_churn > 0 adds EDM's "
           "noise",
           "Karras et al. 2022, arXiv:2206.00364",
           "karras",
           false,
           true,
           sample_heun,
           /*in_sweep=*/true},
          {"dpm_solver",
           "Exponential integrator for eps, order 1 to 3: multistep, singlestep (the official fast "
           "version), adaptive",
           "Lu et al. 2022, arXiv:2206.00927",
           "logsnr",
           false,
           false,
           sample_dpm_solver,
           /*in_sweep=*/true},
          {"dpm_solver_pp",
           "Exponential integrator for x0, order 1 to 3, multistep of order 2 (2M) by default: "
           "good from 10 steps, stable under guidance",
           "Lu et al. 2022, arXiv:2211.01095",
           "uniform",
           false,
           false,
           sample_dpm_solver_pp,
           /*in_sweep=*/true},
          {"dpm_solver_pp_sde",
           "DPM-Solver++ on the reverse SDE, multistep: noise in every step, good from 20 steps",
           "Lu et al. 2022, arXiv:2211.01095",
           "uniform",
           true,
           false,
           sample_dpm_solver_pp_sde,
           /*in_sweep=*/true},
          {"unipc",
           "Predictor and corrector of order + 1 at one evaluation a step; for 5 to 20 steps",
           "Zhao et al. 2023, arXiv:2302.04867",
           "uniform",
           false,
           false,
           sample_unipc,
           /*in_sweep=*/true},
      });
  return table;
}

std::vector<base::Choice> grid_choices() {
  auto choices = timestep_grids().choices();
  choices.insert(choices.begin(), {"auto", "the sampler's usual grid"});
  return choices;
}

std::vector<double> SamplerCall::times(int64_t intervals) const {
  return timestep_grid(grid, schedule, t_start, t_end, intervals, config.rho);
}

std::vector<double> SamplerCall::step_times() const {
  if (!to_zero) return times(config.steps);
  auto points = config.steps > 1 ? times(config.steps - 1) : std::vector<double>{t_start};
  points.push_back(0);
  return points;
}

torch::Tensor SamplerCall::noise_like(const torch::Tensor& x) const {
  return noise.next(x.size(1), x.size(2), x.size(3)).to(x.options());
}

Knot knot(const NoiseSchedule& schedule, double t) {
  if (t == 0) return {0, 0, 1, 0, std::numeric_limits<double>::infinity()};
  const double log_alpha = schedule.log_alpha(t), log_sigma = schedule.log_sigma(t);
  return {t, log_alpha, std::exp(log_alpha), std::exp(log_sigma), log_alpha - log_sigma};
}

bool is_stochastic(const SamplerConfig& config) {
  return sampler_info(config.sampler).stochastic || config.eta > 0 || config.s_churn > 0;
}

void SamplerConfig::name_final_order() {
  if (lower_order_final != "auto") return;
  lower_order_final = sampler == "unipc" ? "always" : "below_10";
}

void SamplerConfig::validate() const {
  base::check_fields(*this, "sample.");
  base::require(method != "adaptive" || order >= 2,
                fmt::format("--sample.order {}: method adaptive takes 2 or 3", order));
  base::require(
      method != "singlestep_fixed" || steps >= order,
      fmt::format("--sample.steps {}: method singlestep_fixed of order {} needs at least {}",
                  steps,
                  order,
                  order));
  base::require(t_start == 0 || t_end < t_start,
                fmt::format("--sample.t_start {}, --sample.t_end {}: give 0 (default) or t_end < "
                            "t_start",
                            t_start,
                            t_end));
  base::require(
      s_tmax == 0 || s_tmin < s_tmax,
      fmt::format("--sample.s_tmin {}, --sample.s_tmax {}: give s_tmin < s_tmax, or 0 for "
                  "no upper limit",
                  s_tmin,
                  s_tmax));

  const auto only_for = [&](const char* field,
                            bool changed,
                            const std::vector<std::string>& readers) {
    base::require(!changed || std::find(readers.begin(), readers.end(), sampler) != readers.end(),
                  fmt::format("--sample.{}: sampler {} does not read it; choose {} or leave it out",
                              field,
                              sampler,
                              fmt::join(readers, ", ")));
  };
  only_for("eta", eta != 0, {"ddim"});
  only_for("s_churn", s_churn != 0, {"heun"});
  only_for("ddpm_variance", ddpm_variance != "small", {"ddpm"});
  only_for("method", method != "multistep", {"dpm_solver", "dpm_solver_pp"});
}

double start_time(const SamplerConfig& config, const NoiseSchedule& schedule) {
  const double last = schedule.t_max();
  // Beyond t_max the schedule is undefined, or the network is not trained.
  if (config.t_start > last + 1e-12)
    throw std::invalid_argument(fmt::format(
        "t_start = {}: this schedule ends at t_max = {}; give at most that, or 0 for t_max",
        config.t_start,
        last));
  return config.t_start > 0 ? std::min(config.t_start, last) : last;
}

double end_time(const SamplerConfig& config, const NoiseSchedule& schedule) {
  if (config.t_end > 0) return config.t_end;
  const bool fine = !sampler_info(config.sampler).ends_at_zero && config.steps > 15;
  return fine ? schedule.t_min_fine() : schedule.t_min();
}

int64_t function_evaluations(const SamplerConfig& config) {
  const auto& info = sampler_info(config.sampler);
  if (max_batch_size(config) == 1) return 0;
  int64_t count = config.steps;
  if (config.sampler == "heun") count = 2 * config.steps - (ends_at_zero(config) ? 1 : 0);
  if (config.method == "singlestep_fixed") count = config.steps / config.order * config.order;
  return count + (!info.ends_at_zero && ends_at_zero(config) ? 1 : 0);
}

int64_t max_batch_size(const SamplerConfig& config) {
  return config.method == "adaptive" ? 1 : std::numeric_limits<int64_t>::max();
}

torch::Tensor initial_noise(const NoiseSchedule& schedule,
                            const SamplerConfig& config,
                            NoiseSource& noise,
                            int64_t channels,
                            int64_t height,
                            int64_t width) {
  return combine(
      {{schedule.prior_std(start_time(config, schedule)), noise.next(channels, height, width)}});
}

SamplerCall make_call(const Denoiser& denoiser,
                      const NoiseSchedule& schedule,
                      const SamplerConfig& config,
                      NoiseSource& noise) {
  config.validate();
  const std::string default_grid = sampler_info(config.sampler).default_grid;
  SamplerCall call{with_thresholding(denoiser,
                                     schedule,
                                     config.thresholding,
                                     config.thresholding_ratio,
                                     config.thresholding_max),
                   schedule,
                   config,
                   noise,
                   config.grid == "auto" ? default_grid : config.grid,
                   start_time(config, schedule),
                   end_time(config, schedule),
                   ends_at_zero(config),
                   {}};
  base::require(
      call.t_end < call.t_start,
      fmt::format(
          "sample: t_start = {}, t_end = {}; t_end must be the smaller", call.t_start, call.t_end));
  return call;
}

torch::Tensor run_sampler(const SamplerCall& call, torch::Tensor x_T) {
  torch::NoGradGuard no_grad;
  base::require(x_T.dim() == 4,
                fmt::format("sample: x_T has {} dimensions, expected [B, C, H, W]", x_T.dim()));
  base::require(
      x_T.size(0) <= max_batch_size(call.config),
      fmt::format("sample: {} images with method adaptive, which has other steps for each; "
                  "give one at a time",
                  x_T.size(0)));
  return sampler_info(call.config.sampler)
      .run(call, x_T.scalar_type() == torch::kFloat64 ? x_T : x_T.to(torch::kFloat32));
}

torch::Tensor sample(const Denoiser& denoiser,
                     const NoiseSchedule& schedule,
                     const SamplerConfig& config,
                     torch::Tensor x_T,
                     NoiseSource& noise,
                     const Progress& progress) {
  auto call = make_call(denoiser, schedule, config, noise);
  base::require(x_T.size(0) == noise.size(),
                fmt::format("sample: x_T holds {} images, noise {} seeds; give one seed per image",
                            x_T.size(0),
                            noise.size()));
  if (progress)
    call.after_step = [&](int64_t step, int64_t steps, double, torch::Tensor& x) {
      progress(step, steps, x);
    };
  return run_sampler(call, std::move(x_T));
}

}  // namespace uvic::diffusion

template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::diffusion::SamplerConfig&);
