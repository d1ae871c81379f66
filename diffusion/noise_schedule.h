// How much signal and how much noise x_t holds at time t, in double precision.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

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

/// What a network was, or is to be, trained for.
struct DiffusionConfig {
  std::string schedule = "vp_linear";
  double beta_0 = 0;
  double beta_1 = 0;
  int64_t diffusion_steps = 1000;
  double cosine_s = 0.008;
  double sigma_min = 0.002;
  double sigma_max = 80;
  double sigma_data = 0.5;
  double time_scale = 0;
  double time_offset = 0;
  std::string prediction = "eps";
  std::string loss_weight = "simple";
  double min_snr_gamma = 5;
  std::string timestep_sampling = "uniform";
  double logit_mean = 0;
  double logit_std = 1;
  double log_sigma_mean = -1.2;
  double log_sigma_std = 1.2;

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("schedule",
          schedule,
          "Noise schedule: vp_linear | vp_cosine | ddpm_linear | ddpm_cosine | scaled_linear "
          "(Stable Diffusion) | edm | rectified_flow");
    visit("beta_0",
          beta_0,
          "Noise rate at t = 0, per unit of t (a discrete schedule's first beta times "
          "diffusion_steps); 0: the published value");
    visit("beta_1", beta_1, "Noise rate at t = 1, per unit of t; 0: the published value");
    visit("diffusion_steps", diffusion_steps, "Length N of a discrete schedule");
    visit("cosine_s", cosine_s, "Offset s of the cosine schedules");
    visit("sigma_min", sigma_min, "edm schedule: noise level where sampling ends");
    visit("sigma_max", sigma_max, "edm schedule: noise level where sampling starts");
    visit("sigma_data",
          sigma_data,
          "Standard deviation of the data, for the edm schedule, prediction and loss weight");
    visit("time_scale",
          time_scale,
          "The network is fed time_scale * t + time_offset (edm: log(sigma)/4 in place of t); 0: "
          "999 for vp_*, N for discrete ones, else 1000");
    visit("time_offset", time_offset, "See time_scale; -1 suits networks trained on n = 0..N-1");
    visit("prediction",
          prediction,
          "What the network predicts: eps | x0 | v | flow (eps - x0) | edm (preconditioned x0)");
    visit("loss_weight", loss_weight, "simple (1) | min_snr | truncated_snr | edm");
    visit("min_snr_gamma", min_snr_gamma, "Where min_snr caps the signal-to-noise ratio");
    visit("timestep_sampling",
          timestep_sampling,
          "Training times: uniform | stratified (one per 1/B) | low_discrepancy (one offset for "
          "the batch) | logit_normal | log_normal (EDM)");
    visit("logit_mean", logit_mean, "logit_normal: mean of log(t / (1 - t))");
    visit("logit_std", logit_std, "logit_normal: standard deviation of log(t / (1 - t))");
    visit("log_sigma_mean", log_sigma_mean, "log_normal: mean of log(sigma / alpha)");
    visit("log_sigma_std", log_sigma_std, "log_normal: standard deviation of log(sigma / alpha)");
  }

  /// Throws std::invalid_argument that names the field, its value and the values allowed.
  void validate() const;
};

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
