// How the schedules are written: a formula is a class with one template per function, which takes
// double or a float64 tensor. Schedule<Formula> implements NoiseSchedule with it.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "diffusion/noise_schedule.h"

namespace uvic::diffusion {

/// log(1 + e^x) without overflow.
inline double log1p_exp(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
inline torch::Tensor log1p_exp(const torch::Tensor& x) {
  return torch::logaddexp(x, torch::zeros_like(x));
}

/// log(sigma) of a variance-preserving schedule: sigma^2 = 1 - alpha^2.
template <class T>
T vp_log_sigma(const T& log_alpha) {
  using std::expm1, std::log;
  return 0.5 * log(-expm1(2.0 * log_alpha));
}

/// log(alpha) of a variance-preserving schedule with half_logsnr lambda:
/// alpha^2 = 1 / (1 + e^(-2 lambda)).
template <class T>
T vp_log_alpha(const T& lambda) {
  return -0.5 * log1p_exp(-2.0 * lambda);
}

/// Members that all variance-preserving formulas share. Their SDE has g^2 = -2 f, because
/// d(sigma^2)/dt = -2 f alpha^2.
struct VariancePreserving {
  template <class T>
  static T input_scale(const T& t) {
    return 0.0 * t + 1.0;
  }
  double prior_std(double) const { return 1.0; }
};

/// Implements the interface with a formula. Each member template of the formula implements a scalar
/// and a tensor member of the interface.
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
std::shared_ptr<const NoiseSchedule> make_schedule(Formula formula,
                                                   double time_scale,
                                                   double time_offset) {
  return std::make_shared<Schedule<Formula>>(std::move(formula), time_scale, time_offset);
}

}  // namespace uvic::diffusion
