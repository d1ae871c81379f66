// From noise to images: all samplers by name, with one set of options.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/field.h"
#include "base/table.h"
#include "base/tensor_fwd.h"
#include "diffusion/denoiser.h"

namespace uvic::diffusion {

class NoiseSchedule;
class NoiseSource;
struct SamplerCall;

/// One row of the table of samplers.
struct SamplerInfo {
  const char* name;
  const char* help;
  const char* paper;
  const char* default_grid;
  bool stochastic;    ///< adds noise in its steps by default; ddim (eta) and heun (s_churn) can too
  bool ends_at_zero;  ///< last_step = auto means zero
  torch::Tensor (*run)(const SamplerCall& call, torch::Tensor x_T);
  bool in_sweep = false;  ///< one of those that a sweep compares unless it is told others
};
base::Table<SamplerInfo>& samplers();

/// The row with that name. Throws std::invalid_argument that lists the names.
inline const SamplerInfo& sampler_info(const std::string& name) { return samplers().at(name); }

/// The timestep grids and "auto".
std::vector<base::Choice> grid_choices();

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
  std::string lower_order_final = "always";
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
    using base::Field;
    const char* const solvers = "dpm_solver*, unipc";
    visit("sampler", sampler, Field{"Sampler", samplers().choices()});
    visit("steps",
          steps,
          Field{"Network evaluations for an image (heun: steps of two evaluations each, except the "
                "last; method adaptive: as many as it needs)",
                base::from(1, 100000)});
    visit("grid",
          grid,
          Field{"Times visited; auto: the sampler's usual grid", grid_choices()}.advanced());
    visit("rho", rho, Field{"Exponent of the karras grid", base::above(0, 1000)}.advanced());
    visit("t_start",
          t_start,
          Field{"Time to start from (edm: sigma), at most the schedule's t_max; 0: t_max",
                base::from(0, 1e9)}
              .advanced());
    visit("t_end",
          t_end,
          Field{"Time to end at (edm: sigma); 0: 1e-3 for continuous VP (1e-4 for dpm_solver* and "
                "unipc beyond 15 steps), 1/N for discrete schedules, sigma_min for edm, 1e-3 for "
                "rectified_flow",
                base::from(0, 1e9)}
              .advanced());
    visit("last_step",
          last_step,
          Field{"What is returned",
                {{"auto", "t_end for dpm_solver* and unipc, zero for the others"},
                 {"zero", "a last step from t_end to an x0 prediction"},
                 {"t_end", "x at t_end"}}}
              .advanced());
    visit("order",
          order,
          Field{"Order (method adaptive: 2 or 3)", base::from(1, 3)}.read_by(solvers));
    visit("method",
          method,
          Field{"How steps use earlier evaluations",
                {{"multistep", "evaluations of earlier steps"},
                 {"singlestep", "3 + ... + 3 + remainder, the official 'fast' version"},
                 {"singlestep_fixed", "steps / order steps, each of full order"},
                 {"adaptive", "step sizes by error estimates"}}}
              .read_by(solvers));
    visit("inner_grid",
          inner_grid,
          Field{"Where singlestep methods evaluate within a step",
                {{"same", "spaced as the grid"}, {"logsnr", "halves or thirds in half_logsnr"}}}
              .read_by(solvers));
    visit("solver_type",
          solver_type,
          Field{"Coefficients of the higher orders",
                {{"dpmsolver", "as published"}, {"taylor", "exact expansion"}}}
              .read_by(solvers));
    visit("lower_order_final",
          lower_order_final,
          Field{"When a multistep method lowers the order of its last steps: a step then has at "
                "most the order of the steps left, and the last has order 1",
                {{"always", ""},
                 {"below_10", "with fewer than 10 steps, as the official DPM-Solver code"},
                 {"never", ""}}}
              .read_by(solvers));
    visit("unipc_variant",
          unipc_variant,
          Field{"Function B(h) of the paper", {{"bh1", "h"}, {"bh2", "e^h - 1"}}}.read_by("unipc"));
    visit("unipc_model",
          unipc_model,
          Field{"What is extrapolated", {{"x0", ""}, {"eps", ""}}}.read_by("unipc"));
    visit("eta",
          eta,
          Field{"0 is deterministic, 1 as noisy as ddpm", base::from(0, 1)}.read_by("ddim"));
    visit("ddpm_variance",
          ddpm_variance,
          Field{"Variance of a step", {{"small", "the posterior's given x0"}, {"large", "beta"}}}
              .read_by("ddpm"));
    visit(
        "s_churn",
        s_churn,
        Field{"Total amount of noise that is added and removed again; 0: none", base::from(0, 1e6)}
            .read_by("heun"));
    visit("s_tmin",
          s_tmin,
          Field{"Churn only where sigma / alpha >= s_tmin", base::from(0, 1e9)}.read_by("heun"));
    visit("s_tmax",
          s_tmax,
          Field{"Churn only where sigma / alpha <= s_tmax; 0: no upper limit", base::from(0, 1e9)}
              .read_by("heun"));
    visit("s_noise",
          s_noise,
          Field{"Standard deviation of the churn noise", base::above(0, 100)}.read_by("heun"));
    visit(
        "atol", atol, Field{"Absolute tolerance", base::above(0, 1000)}.read_by("method adaptive"));
    visit(
        "rtol", rtol, Field{"Relative tolerance", base::from(0, 1000)}.read_by("method adaptive"));
    visit("thresholding",
          thresholding,
          Field{"Limits the range of the predicted x0",
                {{"none", ""},
                 {"clip", "to +-thresholding_max"},
                 {"dynamic", "by a quantile, for pixels with strong guidance"}}}
              .advanced());
    visit(
        "thresholding_ratio",
        thresholding_ratio,
        Field{"Quantile of |x0| over an image", base::above(0, 1)}.read_by("thresholding dynamic"));
    visit("thresholding_max",
          thresholding_max,
          Field{"Largest |x0| that is kept", base::above(0, 1e6)}.advanced());
  }

  /// Before version 0.2.0 the default of lower_order_final was "auto": always for unipc, below_10
  /// for the others. Replaces it by what it meant, so that earlier runs keep their samples.
  void name_final_order();

  /// Throws std::invalid_argument that names the field, its value and the allowed values. A field
  /// that is set but that the chosen sampler does not read is an error too.
  void validate() const;
};

/// Whether sampling adds noise after x_T. If not, it can be inverted (see encode() in editing.h).
bool is_stochastic(const SamplerConfig& config);

/// A published recipe: sampler options and their guidance scale.
struct SamplerPreset {
  const char* name;
  const char* help;
  SamplerConfig config;
  double guidance_scale;
};

base::Table<SamplerPreset>& sampler_presets();

/// Called after every step, with `step` from 1 to `steps` and the current state x [B, C, H, W].
/// With method adaptive `steps` is 0, because their number is not known in advance.
using Progress = std::function<void(int64_t step, int64_t steps, const torch::Tensor& x)>;

/// Integrates from x_T at t_start to t_end (or to x0, see config.last_step). Returns the images
/// [B, C, H, W], not clipped.
///
/// x_T is [B, C, H, W] float32, or float64 for more digits; see initial_noise(). `noise` has B
/// seeds. The bits of image i depend on x_T[i], on its own generator and on the denoiser only, not
/// on the rest of the batch. Runs without autograd. Throws std::invalid_argument for invalid
/// options or shapes.
torch::Tensor sample(const Denoiser& denoiser,
                     const NoiseSchedule& schedule,
                     const SamplerConfig& config,
                     torch::Tensor x_T,
                     NoiseSource& noise,
                     const Progress& progress = {});

/// The x_T of a new sample: noise.next(...) times prior_std() of the schedule at t_start, which is
/// 1 except for edm.
torch::Tensor initial_noise(const NoiseSchedule& schedule,
                            const SamplerConfig& config,
                            NoiseSource& noise,
                            int64_t channels,
                            int64_t height,
                            int64_t width);

/// The number of denoiser calls of sample(). 0 for method adaptive, where it depends on the image.
int64_t function_evaluations(const SamplerConfig& config);

/// The largest batch of sample(): 1 for method adaptive, where each image has its own steps.
int64_t max_batch_size(const SamplerConfig& config);

/// t_start and t_end with the defaults filled in. Throws std::invalid_argument if t_start is larger
/// than t_max of the schedule.
double start_time(const SamplerConfig& config, const NoiseSchedule& schedule);
double end_time(const SamplerConfig& config, const NoiseSchedule& schedule);

}  // namespace uvic::diffusion

extern template std::vector<uvic::base::Leaf> uvic::base::leaves_of(
    uvic::diffusion::SamplerConfig&);
