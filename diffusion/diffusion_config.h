// What a network was, or is to be, trained for: the options of noise, target and loss.
#pragma once

#include <cstdint>
#include <string>

namespace uvic::diffusion {

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

}  // namespace uvic::diffusion
