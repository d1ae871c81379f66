// Noise schedules: the signal and noise coefficients of x_t at time t, in double precision.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/table.h"
#include "base/torch.h"
#include "diffusion/diffusion_config.h"

namespace uvic::diffusion {

/// x_t = alpha(t) x0 + sigma(t) eps, eps ~ N(0, I), for t in [0, t_max()].
///
/// The samplers use the scalar functions. Training uses the tensor functions (float64, any shape
/// and device). Both compute the same formula. half_logsnr = log(alpha / sigma) is strictly
/// decreasing in t.
class NoiseSchedule {
 public:
  virtual ~NoiseSchedule() = default;

  virtual double log_alpha(double t) const = 0;
  virtual double log_sigma(double t) const = 0;
  virtual torch::Tensor log_alpha(const torch::Tensor& t) const = 0;
  virtual torch::Tensor log_sigma(const torch::Tensor& t) const = 0;

  /// The t whose half_logsnr is lambda.
  virtual double inverse_half_logsnr(double lambda) const = 0;
  virtual torch::Tensor inverse_half_logsnr(const torch::Tensor& lambda) const = 0;

  double alpha(double t) const;
  double sigma(double t) const;
  double half_logsnr(double t) const { return log_alpha(t) - log_sigma(t); }
  torch::Tensor alpha(const torch::Tensor& t) const { return log_alpha(t).exp(); }
  torch::Tensor sigma(const torch::Tensor& t) const { return log_sigma(t).exp(); }
  torch::Tensor half_logsnr(const torch::Tensor& t) const { return log_alpha(t) - log_sigma(t); }

  /// The SDE dx = f x dt + g dw with these marginals:
  ///   f = d log(alpha) / dt,  g^2 = -2 sigma^2 d half_logsnr / dt
  /// Source: Kingma et al. 2021, arXiv:2107.00630.
  virtual double drift_rate(double t) const = 0;
  virtual double squared_diffusion(double t) const = 0;

  virtual double t_min() const = 0;  ///< default end time of sampling
  virtual double t_min_fine() const {
    return t_min();
  }                                  ///< the same for solvers with more than 15 steps
  virtual double t_max() const = 0;  ///< default start time of sampling

  /// The time input of the network: t * 999 for the continuous VP schedules, n in 1..N for the
  /// discrete ones.
  virtual double network_time(double t) const = 0;
  virtual torch::Tensor network_time(const torch::Tensor& t) const = 0;

  /// The factor on x_t at the input of the network; 1 for schedules where x_t has about unit
  /// variance.
  virtual double input_scale(double) const { return 1.0; }
  virtual torch::Tensor input_scale(const torch::Tensor& t) const { return torch::ones_like(t); }

  /// Standard deviation of the initial noise of sampling that starts at time t.
  virtual double prior_std(double) const { return 1.0; }

  /// Maps u in [0, 1) to the time of uniform training: t = u, or one of the discrete times, or a
  /// log-uniform sigma.
  virtual torch::Tensor training_time(const torch::Tensor& u) const = 0;
  /// The time at the fraction u of the schedule, such as SDEdit's strength.
  virtual double time_at_fraction(double u) const = 0;
};

/// One row of the table of schedules. `make` reads the fields that this schedule uses.
struct ScheduleKind {
  const char* name;
  const char* help;
  std::shared_ptr<const NoiseSchedule> (*make)(const DiffusionConfig& config);
};
base::Table<ScheduleKind>& schedule_kinds();

/// The schedule that config.schedule names; validates the config.
std::shared_ptr<const NoiseSchedule> make_noise_schedule(const DiffusionConfig& config);

/// The schedule of a list of betas: alpha_bar_n = prod_{i<=n} (1 - beta_i) at t = n / N, with log
/// alpha linear in between.
///
/// Sampling starts at the last n whose half_logsnr is at least -5.1, because noisier times are lost
/// to rounding. The network reads time_scale * t + time_offset; a time_scale of 0 means N. Throws
/// std::invalid_argument unless every beta is in (0, 1). Source: Ho et al. 2020, arXiv:2006.11239.
/// Interpolation: Lu et al. 2022, arXiv:2206.00927, appendix D.
std::shared_ptr<const NoiseSchedule> make_discrete_schedule(const std::vector<double>& betas,
                                                            double time_scale = 0,
                                                            double time_offset = 0);

/// The n (a real number) at which a discrete schedule has the given half_logsnr.
///
/// log alpha is log_alphas[n] for n = 0..N: float64, decreasing, linear in between, and
/// extrapolated beyond both ends. Uses tensor operations only, so a CUDA graph can record it.
/// inverse_half_logsnr() uses it on a GPU.
torch::Tensor position_in_table(const torch::Tensor& log_alphas, const torch::Tensor& lambda);

}  // namespace uvic::diffusion
