// How much signal and how much noise x_t holds at time t, in double precision.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/table.h"
#include "diffusion/diffusion_config.h"

namespace uvic::diffusion {

/// x_t = alpha(t) x0 + sigma(t) eps, eps ~ N(0, I), for t in [0, t_max()].
///
/// Scalars serve the samplers, tensors (float64, any shape and device) the training batches; both
/// follow one formula. half_logsnr = log(alpha / sigma) decreases strictly in t.
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

  /// The SDE dx = f x dt + g dw with these marginals: f = d log(alpha)/dt, g^2 = -2 sigma^2 d
  /// half_logsnr/dt. Source: Kingma et al. 2021, arXiv:2107.00630.
  virtual double drift_rate(double t) const = 0;
  virtual double squared_diffusion(double t) const = 0;

  virtual double t_min() const = 0;  ///< where sampling ends unless told otherwise
  virtual double t_min_fine() const {
    return t_min();
  }                                  ///< the same for solvers with more than 15 steps
  virtual double t_max() const = 0;  ///< where sampling starts unless told otherwise

  /// What the network is told of t: t * 999 for the continuous VP schedules, n in 1..N for the
  /// discrete ones.
  virtual double network_time(double t) const = 0;
  virtual torch::Tensor network_time(const torch::Tensor& t) const = 0;

  /// What x_t is multiplied by on its way into the network; 1 where x_t has about unit variance
  /// anyway.
  virtual double input_scale(double) const { return 1.0; }
  virtual torch::Tensor input_scale(const torch::Tensor& t) const { return torch::ones_like(t); }

  /// Standard deviation of the noise that sampling starts from at time t.
  virtual double prior_std(double) const { return 1.0; }

  /// Maps u in [0, 1) to the times that uniform training covers: t = u, or one of the discrete
  /// times, or log-uniform sigma.
  virtual torch::Tensor training_time(const torch::Tensor& u) const = 0;
  /// The inverse of training_time, for fractions of the way such as SDEdit's strength.
  virtual double time_at_fraction(double u) const = 0;
};

/// A schedule by name. `make` reads the fields of the config that concern it.
struct ScheduleKind {
  const char* name;
  const char* help;
  std::shared_ptr<const NoiseSchedule> (*make)(const DiffusionConfig& config);
};
base::Table<ScheduleKind>& schedule_kinds();

/// The schedule that config.schedule names; validates the config.
std::shared_ptr<const NoiseSchedule> make_noise_schedule(const DiffusionConfig& config);

/// The schedule of any list of betas: alpha_bar_n = prod_{i<=n} (1 - beta_i) at t = n / N, log
/// alpha linear between. Sampling starts at the last n whose half_logsnr is at least -5.1 (noisier
/// ones are lost to rounding). The network is fed time_scale * t + time_offset; 0 means N. Throws
/// std::invalid_argument unless every beta is in (0, 1). Source: Ho et al. 2020, arXiv:2006.11239;
/// interpolation: Lu et al. 2022, arXiv:2206.00927, appendix D.
std::shared_ptr<const NoiseSchedule> make_discrete_schedule(const std::vector<double>& betas,
                                                            double time_scale = 0,
                                                            double time_offset = 0);

/// The n, fractions included, where a discrete schedule has these half_logsnr: log alpha is
/// log_alphas[n], n = 0..N, float64 and falling, linear between and on beyond both ends. Tensor
/// operations alone, which a CUDA graph can record; inverse_half_logsnr's way on a GPU.
torch::Tensor position_in_table(const torch::Tensor& log_alphas, const torch::Tensor& lambda);

}  // namespace uvic::diffusion
