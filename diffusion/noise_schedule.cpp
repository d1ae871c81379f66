#include "diffusion/noise_schedule.h"

#include <algorithm>
#include <cmath>

#include "diffusion/schedule_formula.h"

namespace uvic::diffusion {
namespace {

constexpr double kPi = 3.14159265358979323846;

/// beta(t) = beta_0 + t (beta_1 - beta_0). Source: Song et al. 2021, arXiv:2011.13456, appendix C.
/// Inverse: Lu et al. 2022, arXiv:2206.00927, appendix D.
struct VpLinear : VariancePreserving {
  double beta_0, beta_1;

  template <class T>
  T log_alpha(const T& t) const {
    return -0.25 * (beta_1 - beta_0) * t * t - 0.5 * beta_0 * t;
  }
  template <class T>
  T log_sigma(const T& t) const {
    return vp_log_sigma(log_alpha(t));
  }
  template <class T>
  T inverse_half_logsnr(const T& lambda) const {
    using std::sqrt;
    const T c = 2.0 * (beta_1 - beta_0) * log1p_exp(-2.0 * lambda);
    return c / ((sqrt(beta_0 * beta_0 + c) + beta_0) * (beta_1 - beta_0));
  }
  double drift_rate(double t) const { return -0.5 * (beta_0 + t * (beta_1 - beta_0)); }
  double squared_diffusion(double t) const { return -2 * drift_rate(t); }
  double t_min() const { return 1e-3; }
  double t_min_fine() const { return 1e-4; }
  double t_max() const { return 1; }
  double time_unit() const { return 999; }
  template <class T>
  T time_variable(const T& t) const {
    return t;
  }
  template <class T>
  T at_fraction(const T& u) const {
    return u;
  }
};

/// alpha(t) = cos((t + s) / (1 + s) pi/2) / cos(s / (1 + s) pi/2).
/// Source: Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17.
struct VpCosine : VariancePreserving {
  double s;

  template <class T>
  T angle(const T& t) const {
    return (t + s) * (kPi / 2 / (1 + s));
  }
  template <class T>
  T log_alpha(const T& t) const {
    using std::cos, std::log;
    return log(cos(angle(t))) - std::log(std::cos(angle(0.0)));
  }
  template <class T>
  T log_sigma(const T& t) const {
    return vp_log_sigma(log_alpha(t));
  }
  template <class T>
  T inverse_half_logsnr(const T& lambda) const {
    using std::acos, std::exp;
    return acos(exp(vp_log_alpha(lambda)) * std::cos(angle(0.0))) * (2 * (1 + s) / kPi) - s;
  }
  double drift_rate(double t) const { return -std::tan(angle(t)) * kPi / 2 / (1 + s); }
  double squared_diffusion(double t) const { return -2 * drift_rate(t); }
  double t_min() const { return 1e-3; }
  double t_min_fine() const { return 1e-4; }
  double t_max() const { return 0.9946; }  // alpha is 0 at t = 1; value of DPM-Solver's code
  double time_unit() const { return 999; }
  template <class T>
  T time_variable(const T& t) const {
    return t;
  }
  template <class T>
  T at_fraction(const T& u) const {
    return u;
  }
};

/// alpha = 1, sigma = t. Source: Karras et al. 2022, arXiv:2206.00364, table 1.
struct Edm {
  double sigma_min, sigma_max, sigma_data;

  template <class T>
  T log_alpha(const T& t) const {
    return 0.0 * t;
  }
  template <class T>
  T log_sigma(const T& t) const {
    using std::log;
    return log(t);
  }
  template <class T>
  T inverse_half_logsnr(const T& lambda) const {
    using std::exp;
    return exp(-lambda);
  }
  double drift_rate(double) const { return 0; }
  double squared_diffusion(double t) const { return 2 * t; }
  double t_min() const { return sigma_min; }
  double t_min_fine() const { return sigma_min; }
  double t_max() const { return sigma_max; }
  double time_unit() const { return 1000; }
  template <class T>
  T time_variable(const T& t) const {  // c_noise
    using std::log;
    return 0.25 * log(t);
  }
  template <class T>
  T input_scale(const T& t) const {  // c_in
    using std::sqrt;
    return 1.0 / sqrt(t * t + sigma_data * sigma_data);
  }
  double prior_std(double t) const { return t; }
  template <class T>
  T at_fraction(const T& u) const {
    using std::exp;
    return exp(u * std::log(sigma_max / sigma_min) + std::log(sigma_min));
  }
};

/// alpha = 1 - t, sigma = t.
/// Source: Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022, arXiv:2210.02747.
struct RectifiedFlow : VariancePreserving {
  template <class T>
  T log_alpha(const T& t) const {
    using std::log1p;
    return log1p(-t);
  }
  template <class T>
  T log_sigma(const T& t) const {
    using std::log;
    return log(t);
  }
  template <class T>
  T inverse_half_logsnr(const T& lambda) const {
    using std::exp;
    return exp(-log1p_exp(lambda));
  }
  double drift_rate(double t) const { return -1 / (1 - t); }
  double squared_diffusion(double t) const { return 2 * t / (1 - t); }
  double t_min() const { return 1e-3; }
  double t_min_fine() const { return 1e-3; }
  double t_max() const { return 0.999; }  // alpha is 0 at t = 1
  double time_unit() const { return 1000; }
  template <class T>
  T time_variable(const T& t) const {
    return t;
  }
  template <class T>
  T at_fraction(const T& u) const {
    return u;
  }
};

double or_published(double value, double published) { return value > 0 ? value : published; }

/// N betas from beta_0 / N to beta_1 / N, evenly spaced (power 1) or with evenly spaced square
/// roots (power 2).
std::vector<double> spaced_betas(const DiffusionConfig& config,
                                 double first,
                                 double last,
                                 double power) {
  const int64_t n = config.diffusion_steps;
  const double a = std::pow(or_published(config.beta_0, first) / n, 1 / power);
  const double b = std::pow(or_published(config.beta_1, last) / n, 1 / power);
  std::vector<double> betas(n);
  for (int64_t i = 0; i < n; ++i)
    betas[i] = std::pow(n == 1 ? a : a + (b - a) * i / (n - 1), power);
  return betas;
}

/// beta_n = min(1 - alpha_bar_n / alpha_bar_{n-1}, 0.999).
/// Source: Nichol & Dhariwal 2021, arXiv:2102.09672.
std::vector<double> cosine_betas(const DiffusionConfig& config) {
  const VpCosine continuous{{}, config.cosine_s};
  const double n = static_cast<double>(config.diffusion_steps);
  std::vector<double> betas(config.diffusion_steps);
  for (int64_t i = 0; i < config.diffusion_steps; ++i) {
    const double ratio =
        std::exp(2 * (continuous.log_alpha((i + 1) / n) - continuous.log_alpha(i / n)));
    betas[i] = std::min(1 - (ratio >= 0 ? ratio : 0), 0.999);
  }
  return betas;
}

}  // namespace

base::Table<ScheduleKind>& schedule_kinds() {
  static base::Table<ScheduleKind> kinds(
      "schedule",
      {
          {"vp_linear",
           "continuous VP SDE with linear beta (U-ViT in pixels)",
           [](const DiffusionConfig& c) {
             return make_schedule(
                 VpLinear{{}, or_published(c.beta_0, 0.1), or_published(c.beta_1, 20)},
                 c.time_scale,
                 c.time_offset);
           }},
          {"vp_cosine",
           "continuous VP, cosine",
           [](const DiffusionConfig& c) {
             return make_schedule(VpCosine{{}, c.cosine_s}, c.time_scale, c.time_offset);
           }},
          {"ddpm_linear",
           "DDPM: discrete, linear beta",
           [](const DiffusionConfig& c) {
             return make_discrete_schedule(
                 spaced_betas(c, 0.1, 20, 1), c.time_scale, c.time_offset);
           }},
          {"ddpm_cosine",
           "improved DDPM: discrete, cosine",
           [](const DiffusionConfig& c) {
             return make_discrete_schedule(cosine_betas(c), c.time_scale, c.time_offset);
           }},
          {"scaled_linear",
           "Stable Diffusion: discrete, linear in sqrt(beta)",
           [](const DiffusionConfig& c) {
             return make_discrete_schedule(
                 spaced_betas(c, 0.85, 12, 2), c.time_scale, c.time_offset);
           }},
          {"edm",
           "variance exploding, t is sigma",
           [](const DiffusionConfig& c) {
             return make_schedule(
                 Edm{c.sigma_min, c.sigma_max, c.sigma_data}, c.time_scale, c.time_offset);
           }},
          {"rectified_flow",
           "straight lines from data to noise",
           [](const DiffusionConfig& c) {
             return make_schedule(RectifiedFlow{}, c.time_scale, c.time_offset);
           }},
      });
  return kinds;
}

double NoiseSchedule::alpha(double t) const { return std::exp(log_alpha(t)); }
double NoiseSchedule::sigma(double t) const { return std::exp(log_sigma(t)); }

std::shared_ptr<const NoiseSchedule> make_noise_schedule(const DiffusionConfig& config) {
  config.validate();
  return schedule_kinds().at(config.schedule).make(config);
}

}  // namespace uvic::diffusion
