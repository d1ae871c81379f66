// From noise to pictures: every sampler by name, one set of options for all.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "diffusion/denoiser.h"
#include "diffusion/noise.h"
#include "diffusion/noise_schedule.h"

namespace uvic::diffusion {

struct SamplerConfig {
  std::string sampler = "unipc";
  int64_t steps = 20;
  std::string grid = "auto";
  double rho = 7;
  double t_start = 0;
  double t_end = 0;
  std::string last_step = "auto";
  int64_t order = 2;
  std::string method = "multistep";
  std::string inner_grid = "same";
  std::string solver_type = "dpmsolver";
  std::string lower_order_final = "auto";
  std::string unipc_variant = "bh2";
  std::string unipc_model = "x0";
  double eta = 0;
  std::string ddpm_variance = "small";
  double s_churn = 0;
  double s_tmin = 0;
  double s_tmax = 0;
  double s_noise = 1;
  double atol = 0.0078;
  double rtol = 0.05;
  std::string thresholding = "none";
  double thresholding_ratio = 0.995;
  double thresholding_max = 1;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("sampler",
          sampler,
          "ddpm | ddim | euler_maruyama | euler | heun | dpm_solver | dpm_solver_pp | "
          "dpm_solver_pp_sde | unipc");
    visit("steps",
          steps,
          "Network evaluations (heun: steps of two each but the last); method adaptive takes as "
          "many as it needs");
    visit("grid",
          grid,
          "Times visited: uniform | quadratic | logsnr | karras | auto (the sampler's usual one)");
    visit("rho", rho, "Exponent of the karras grid");
    visit("t_start",
          t_start,
          "Time to start from (edm: sigma), at most the schedule's t_max; 0: t_max");
    visit("t_end",
          t_end,
          "Time to end at (edm: sigma); 0: 1e-3 for continuous VP (1e-4 for dpm_solver* and unipc "
          "beyond 15 steps), 1/N for discrete ones, sigma_min for edm, 1e-3 for rectified_flow");
    visit("last_step",
          last_step,
          "What is returned: zero (a last step from t_end to an x0 prediction) | t_end (x at "
          "t_end) | auto (t_end for dpm_solver* and unipc, zero for the others)");
    visit("order", order, "Order of dpm_solver*, unipc: 1 to 3; method adaptive: 2 or 3");
    visit("method",
          method,
          "dpm_solver, dpm_solver_pp: multistep | singlestep (3 + ... + 3 + remainder, the "
          "official 'fast') | singlestep_fixed (steps / order whole steps) | adaptive");
    visit("inner_grid",
          inner_grid,
          "Where singlestep methods evaluate within a step: same (as grid) | logsnr (halves or "
          "thirds in half_logsnr)");
    visit("solver_type",
          solver_type,
          "Coefficients of the higher orders of dpm_solver*: dpmsolver (as published) | taylor "
          "(exact expansion)");
    visit("lower_order_final",
          lower_order_final,
          "Multistep methods fall to lower order in the last steps: auto (below 10 steps; unipc "
          "always) | always | never");
    visit("unipc_variant", unipc_variant, "bh1 | bh2");
    visit("unipc_model", unipc_model, "What unipc extrapolates: x0 | eps");
    visit("eta", eta, "ddim: 0 is deterministic, 1 as noisy as ddpm");
    visit("ddpm_variance", ddpm_variance, "ddpm: small (the posterior's given x0) | large (beta)");
    visit("s_churn", s_churn, "heun: noise added and removed again along the way, in all; 0: none");
    visit("s_tmin", s_tmin, "heun: churn only where sigma / alpha >= s_tmin");
    visit("s_tmax", s_tmax, "heun: churn only where sigma / alpha <= s_tmax; 0: no upper limit");
    visit("s_noise", s_noise, "heun: standard deviation of the churn noise");
    visit("atol", atol, "adaptive: absolute tolerance");
    visit("rtol", rtol, "adaptive: relative tolerance");
    visit(
        "thresholding",
        thresholding,
        "Keep the predicted x0 in range: none | clip | dynamic (for pixels with strong guidance)");
    visit("thresholding_ratio",
          thresholding_ratio,
          "dynamic thresholding: quantile of |x0| over a picture");
    visit("thresholding_max", thresholding_max, "Largest |x0| that thresholding lets through");
  }

  /// Throws std::invalid_argument that names the field, its value and the values allowed; also
  /// where a field was set
  /// that the chosen sampler does not read.
  void validate() const;
};

/// What `uvic sample --list` tells.
struct SamplerInfo {
  const char* name;
  const char* summary;
  const char* paper;
  const char* default_grid;
  bool stochastic;  ///< draws noise along the way by default; ddim and heun do where eta or s_churn
                    ///< is above 0
  bool ends_at_zero;  ///< last_step = auto means zero
};

const std::vector<SamplerInfo>& samplers();

/// The row of that name; throws std::invalid_argument that lists the names.
const SamplerInfo& sampler_info(const std::string& name);

/// Whether this run draws noise after x_T; if not, it can be inverted (editing.h).
bool is_stochastic(const SamplerConfig& config);

/// A published recipe: sampler options, and the guidance scale that goes with them.
struct SamplerPreset {
  const char* name;
  const char* summary;
  SamplerConfig config;
  double guidance_scale;
};

const std::vector<SamplerPreset>& sampler_presets();

/// The preset of that name; throws std::invalid_argument that lists the names.
const SamplerPreset& sampler_preset(const std::string& name);

/// Told after every step: step counts from 1 to steps; x is the state [B, C, H, W] then.
/// With method adaptive steps is 0: their number is not known ahead.
using Progress = std::function<void(int64_t step, int64_t steps, const torch::Tensor& x)>;

/// Integrates from x_T at t_start down to t_end (or on to x0, by config.last_step) and returns the
/// pictures, unclipped.
///
/// x_T is [B, C, H, W], float32, or float64 where more digits are wanted; see initial_noise.
/// `noise` has B seeds. Picture i is a function of x_T[i], its own generator and the denoiser's
/// answer on it, bit for bit, whatever the batch. Runs without autograd. Throws
/// std::invalid_argument on bad options or shapes.
torch::Tensor sample(const Denoiser& denoiser,
                     const NoiseSchedule& schedule,
                     const SamplerConfig& config,
                     torch::Tensor x_T,
                     NoiseSource& noise,
                     const Progress& progress = {});

/// The x_T of a fresh sample: noise.draw(...) times the schedule's standard deviation at t_start (1
/// but for edm).
torch::Tensor initial_noise(const NoiseSchedule& schedule,
                            const SamplerConfig& config,
                            NoiseSource& noise,
                            int64_t channels,
                            int64_t height,
                            int64_t width);

/// Calls of the denoiser that sample() makes; 0 for method adaptive, where it depends on the
/// picture.
int64_t function_evaluations(const SamplerConfig& config);

/// The most pictures that one call of sample() takes: 1 for method adaptive, where each has its own
/// steps.
int64_t max_batch_size(const SamplerConfig& config);

/// t_start and t_end with the defaults filled in. Throws std::invalid_argument where t_start lies
/// beyond the schedule's t_max.
double start_time(const SamplerConfig& config, const NoiseSchedule& schedule);
double end_time(const SamplerConfig& config, const NoiseSchedule& schedule);

}  // namespace uvic::diffusion
