#include "diffusion/noise_schedule.h"

#include "base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace uvic::diffusion {
namespace {

constexpr double kPi = 3.14159265358979323846;

// The two element types of the formulas below: double and float64 tensors (whose exp, log, ... ADL
// finds).
double log1p_exp(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
torch::Tensor log1p_exp(const torch::Tensor& x) {
  return torch::logaddexp(x, torch::zeros_like(x));
}

/// log(sigma) of a variance-preserving schedule: sigma^2 = 1 - alpha^2.
template <class T>
T vp_log_sigma(const T& log_alpha) {
  using std::expm1, std::log;
  return 0.5 * log(-expm1(2.0 * log_alpha));
}

/// log(alpha) of a variance-preserving schedule at half_logsnr lambda: alpha^2 = 1 / (1 + e^(-2
/// lambda)).
template <class T>
T vp_log_alpha(const T& lambda) {
  return -0.5 * log1p_exp(-2.0 * lambda);
}

/// g^2 of a variance-preserving SDE is minus twice its drift rate, since d(sigma^2)/dt = -2 f
/// alpha^2.
struct VariancePreserving {
  template <class T>
  static T input_scale(const T& t) {
    return 0.0 * t + 1.0;
  }
  double prior_std(double) const { return 1.0; }
};

/// beta(t) = beta_0 + t (beta_1 - beta_0). Song et al. 2021, arXiv:2011.13456, appendix C; its
/// inverse: Lu et al. 2022, arXiv:2206.00927, appendix D.
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

/// alpha(t) = cos((t + s) / (1 + s) pi/2) / cos(s / (1 + s) pi/2). Nichol & Dhariwal 2021,
/// arXiv:2102.09672, eq. 17.
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
  double t_max() const { return 0.9946; }  // alpha is 0 at 1; the end time of DPM-Solver's authors
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

/// A constant on each device that it is asked for on, copied there once: a later step may be
/// recorded as a CUDA graph, which no copy from the CPU can be part of. Copies of this object share
/// them.
class OnEachDevice {
 public:
  explicit OnEachDevice(torch::Tensor on_cpu) : on_cpu_(std::move(on_cpu)), copies_(new Copies) {}

  torch::Tensor on(torch::Device device) const {
    if (device.is_cpu()) return on_cpu_;
    const std::lock_guard<std::mutex> lock(copies_->mutex);
    auto& copy = copies_->by_device[device.str()];
    if (!copy.defined()) {
      const c10::InferenceMode as_training_needs_it(false);
      copy = on_cpu_.to(device);
    }
    return copy;
  }

 private:
  struct Copies {
    std::mutex mutex;
    std::map<std::string, torch::Tensor> by_device;
  };
  torch::Tensor on_cpu_;
  std::shared_ptr<Copies> copies_;
};

/// log(alpha) tabulated at t = n / N, n = 0..N, linear between.
struct Discrete : VariancePreserving {
  std::vector<double> table;
  OnEachDevice table_tensor{torch::Tensor()};
  double last_time;

  explicit Discrete(const std::vector<double>& betas) : table{0.0} {
    for (const double beta : betas) table.push_back(table.back() + 0.5 * std::log1p(-beta));
    table_tensor = OnEachDevice(torch::tensor(table, torch::kFloat64));
    auto usable = table.size() - 1;
    while (usable > 1 && table[usable] - vp_log_sigma(table[usable]) < -5.1) --usable;
    last_time = usable / steps();
  }
  double steps() const { return static_cast<double>(table.size() - 1); }

  size_t segment(double t) const {
    return static_cast<size_t>(std::clamp(std::floor(t * steps()), 0.0, steps() - 1));
  }
  double log_alpha(double t) const {
    const auto i = segment(t);
    return table[i] + (t * steps() - i) * (table[i + 1] - table[i]);
  }
  torch::Tensor log_alpha(const torch::Tensor& t) const {
    const auto position = t * steps();
    const auto i = position.floor().clamp(0, steps() - 1).to(torch::kInt64);
    const auto values = table_tensor.on(t.device());
    const auto left = values.take(i), right = values.take(i + 1);
    return left + (position - i) * (right - left);
  }
  template <class T>
  T log_sigma(const T& t) const {
    return vp_log_sigma(log_alpha(t));
  }
  double inverse_half_logsnr(double lambda) const {
    const double wanted = vp_log_alpha(lambda);
    const auto right =
        std::lower_bound(table.begin() + 1, table.end() - 1, wanted, std::greater<>());
    return ((right - table.begin()) - (wanted - *right) / (*(right - 1) - *right)) / steps();
  }
  torch::Tensor inverse_half_logsnr(const torch::Tensor& lambda) const {
    if (!lambda.is_cpu())
      return position_in_table(table_tensor.on(lambda.device()), lambda) / steps();
    auto t =
        lambda.to(torch::kCPU, torch::kFloat64, /*non_blocking=*/false, /*copy=*/true).contiguous();
    for (auto* value = t.data_ptr<double>(); value != t.data_ptr<double>() + t.numel(); ++value)
      *value = inverse_half_logsnr(*value);
    return t.to(lambda.device());
  }
  double drift_rate(double t) const {
    const auto i = segment(t);
    return (table[i + 1] - table[i]) * steps();
  }
  double squared_diffusion(double t) const { return -2 * drift_rate(t); }
  double t_min() const { return 1 / steps(); }
  double t_min_fine() const { return t_min(); }
  double t_max() const { return last_time; }
  double time_unit() const { return steps(); }
  template <class T>
  T time_variable(const T& t) const {
    return t;
  }
  template <class T>
  T at_fraction(const T& u) const {  // n = floor(u N) + 1, uniform in 1..N
    using std::floor;
    return (floor(u * steps()) + 1.0) / steps();
  }
};

/// alpha = 1, sigma = t. Karras et al. 2022, arXiv:2206.00364, table 1.
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

/// alpha = 1 - t, sigma = t. Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022,
/// arXiv:2210.02747.
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
  double t_max() const { return 0.999; }  // alpha is 0 at 1
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

/// A formula behind the interface: every template above serves a scalar and a tensor member.
template <class Formula>
class Schedule final : public NoiseSchedule {
 public:
  Schedule(Formula formula, double time_scale, double time_offset)
      : formula_(std::move(formula)),
        time_scale_(time_scale > 0 ? time_scale : formula_.time_unit()),
        time_offset_(time_offset) {}

  double log_alpha(double t) const override { return formula_.log_alpha(t); }
  double log_sigma(double t) const override { return formula_.log_sigma(t); }
  torch::Tensor log_alpha(const torch::Tensor& t) const override { return formula_.log_alpha(t); }
  torch::Tensor log_sigma(const torch::Tensor& t) const override { return formula_.log_sigma(t); }
  double inverse_half_logsnr(double lambda) const override {
    return formula_.inverse_half_logsnr(lambda);
  }
  torch::Tensor inverse_half_logsnr(const torch::Tensor& lambda) const override {
    return formula_.inverse_half_logsnr(lambda);
  }
  double drift_rate(double t) const override { return formula_.drift_rate(t); }
  double squared_diffusion(double t) const override { return formula_.squared_diffusion(t); }
  double t_min() const override { return formula_.t_min(); }
  double t_min_fine() const override { return formula_.t_min_fine(); }
  double t_max() const override { return formula_.t_max(); }
  double network_time(double t) const override {
    return time_scale_ * formula_.time_variable(t) + time_offset_;
  }
  torch::Tensor network_time(const torch::Tensor& t) const override {
    return time_scale_ * formula_.time_variable(t) + time_offset_;
  }
  double input_scale(double t) const override { return formula_.input_scale(t); }
  torch::Tensor input_scale(const torch::Tensor& t) const override {
    return formula_.input_scale(t);
  }
  double prior_std(double t) const override { return formula_.prior_std(t); }
  torch::Tensor training_time(const torch::Tensor& u) const override {
    return formula_.at_fraction(u);
  }
  double time_at_fraction(double u) const override { return formula_.at_fraction(u); }

 private:
  Formula formula_;
  double time_scale_, time_offset_;
};

template <class Formula>
std::shared_ptr<const NoiseSchedule> wrap(Formula formula, double time_scale, double time_offset) {
  return std::make_shared<Schedule<Formula>>(std::move(formula), time_scale, time_offset);
}

double or_published(double value, double published) { return value > 0 ? value : published; }

/// N betas whose square roots (power 2) or values (power 1) are evenly spaced, from beta_0 / N to
/// beta_1 / N.
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

/// beta_n = min(1 - alpha_bar_n / alpha_bar_{n-1}, 0.999). Nichol & Dhariwal 2021,
/// arXiv:2102.09672.
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
             return wrap(VpLinear{{}, or_published(c.beta_0, 0.1), or_published(c.beta_1, 20)},
                         c.time_scale,
                         c.time_offset);
           }},
          {"vp_cosine",
           "continuous VP, cosine",
           [](const DiffusionConfig& c) {
             return wrap(VpCosine{{}, c.cosine_s}, c.time_scale, c.time_offset);
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
             return wrap(Edm{c.sigma_min, c.sigma_max, c.sigma_data}, c.time_scale, c.time_offset);
           }},
          {"rectified_flow",
           "straight lines from data to noise",
           [](const DiffusionConfig& c) {
             return wrap(RectifiedFlow{}, c.time_scale, c.time_offset);
           }},
      });
  return kinds;
}

torch::Tensor position_in_table(const torch::Tensor& log_alphas, const torch::Tensor& lambda) {
  const auto x = -2.0 * lambda.to(torch::kFloat64);
  // vp_log_alpha with the scalars' log1p_exp: logaddexp loses the digits of small numbers.
  const auto wanted = -0.5 * (x.clamp_min(0) + (-x.abs()).exp().log1p());
  const auto right = torch::searchsorted(-log_alphas.slice(0, 1, -1), -wanted) + 1;  // 1..N
  const auto at_right = log_alphas.take(right), at_left = log_alphas.take(right - 1);
  return right - (wanted - at_right) / (at_left - at_right);
}

double NoiseSchedule::alpha(double t) const { return std::exp(log_alpha(t)); }
double NoiseSchedule::sigma(double t) const { return std::exp(log_sigma(t)); }

std::shared_ptr<const NoiseSchedule> make_noise_schedule(const DiffusionConfig& config) {
  config.validate();
  return schedule_kinds().at(config.schedule).make(config);
}

std::shared_ptr<const NoiseSchedule> make_discrete_schedule(const std::vector<double>& betas,
                                                            double time_scale,
                                                            double time_offset) {
  base::require(betas.size() >= 2,
                fmt::format("discrete schedule: {} betas; give at least 2", betas.size()));
  for (size_t i = 0; i < betas.size(); ++i)
    base::require(
        betas[i] > 0 && betas[i] < 1,
        fmt::format(
            "discrete schedule: beta number {} is {}; give numbers in (0, 1)", i + 1, betas[i]));
  return wrap(Discrete(betas), time_scale, time_offset);
}

}  // namespace uvic::diffusion
