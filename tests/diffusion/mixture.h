// A Gaussian mixture whose noise predictor, mean and covariance are known in closed form: the
// samplers' yardstick.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "base/torch.h"
#include "diffusion/denoiser.h"
#include "diffusion/noise_schedule.h"

namespace uvic::test {

/// x0 ~ sum_k weight_k N(mean_k, diag(std_k^2)) over the channels of each pixel, pixels
/// independent.
struct Mixture {
  std::vector<double> weight = {0.4, 0.35, 0.25};
  std::vector<std::vector<double>> mean = {{-0.7, 0.4}, {0.5, 0.6}, {0.3, -0.8}};
  std::vector<std::vector<double>> std = {{0.2, 0.3}, {0.25, 0.15}, {0.3, 0.2}};

  /// The noise predictor at one (alpha, sigma): eps = sigma sum_k r_k (x - alpha mu_k) / v_k with
  /// v_k = alpha^2 s_k^2 + sigma^2 and r_k the posterior of component k.
  class Predictor {
   public:
    Predictor(const Mixture& m, double alpha, double sigma)
        : components_(m.weight.size()), channels_(m.mean[0].size()), sigma_(sigma) {
      for (size_t k = 0; k < components_; ++k) {
        log_weight_.push_back(std::log(m.weight[k]));
        for (size_t c = 0; c < channels_; ++c) {
          const double v = alpha * alpha * m.std[k][c] * m.std[k][c] + sigma * sigma;
          center_.push_back(alpha * m.mean[k][c]);
          precision_.push_back(1 / v);
          log_weight_[k] -= 0.5 * std::log(v);
        }
      }
    }
    void operator()(const double* x, double* eps) const {
      double r[8], highest = -1e300, sum = 0;
      for (size_t k = 0; k < components_; ++k) {
        r[k] = log_weight_[k];
        for (size_t c = 0; c < channels_; ++c) {
          const double d = x[c] - center_[k * channels_ + c];
          r[k] -= 0.5 * d * d * precision_[k * channels_ + c];
        }
        highest = std::max(highest, r[k]);
      }
      for (size_t k = 0; k < components_; ++k) sum += r[k] = std::exp(r[k] - highest);
      for (size_t c = 0; c < channels_; ++c) {
        double score = 0;
        for (size_t k = 0; k < components_; ++k)
          score += r[k] * (x[c] - center_[k * channels_ + c]) * precision_[k * channels_ + c];
        eps[c] = sigma_ * score / sum;
      }
    }

   private:
    size_t components_, channels_;
    double sigma_;
    std::vector<double> log_weight_, center_, precision_;  // [K], [K * C], [K * C]
  };

  size_t channels() const { return mean[0].size(); }

  /// The exact denoiser, computed pixel by pixel in float64, returned in the dtype of x.
  diffusion::Denoiser denoiser(const diffusion::NoiseSchedule& schedule) const {
    return [this, &schedule](const torch::Tensor& x, double t) {
      const Predictor predict(*this, schedule.alpha(t), schedule.sigma(t));
      const auto pixels = x.to(torch::kFloat64).permute({0, 2, 3, 1}).contiguous();  // [B, H, W, C]
      auto out = torch::empty_like(pixels);
      const auto c = static_cast<int64_t>(channels());
      for (int64_t i = 0; i < pixels.numel(); i += c)
        predict(pixels.data_ptr<double>() + i, out.data_ptr<double>() + i);
      return out.permute({0, 3, 1, 2}).contiguous().to(x.scalar_type());
    };
  }

  /// The same by tensor operations in the dtype of x: fast for many pixels.
  diffusion::Denoiser fast_denoiser(const diffusion::NoiseSchedule& schedule) const {
    return [this, &schedule](const torch::Tensor& x, double t) {
      const double alpha = schedule.alpha(t), sigma = schedule.sigma(t);
      std::vector<torch::Tensor> log_p, pull;  // per component: [B, 1, H, W], [B, C, H, W]
      for (size_t k = 0; k < weight.size(); ++k) {
        const auto row = [&](const std::vector<double>& v) {
          return torch::tensor(v, torch::kFloat64).view({1, -1, 1, 1});
        };
        const auto v = (alpha * row(std[k])).square() + sigma * sigma;
        const auto d = x - (alpha * row(mean[k])).to(x.scalar_type());
        pull.push_back(d / v.to(x.scalar_type()));
        const double constant = std::log(weight[k]) - 0.5 * v.log().sum().item<double>();
        log_p.push_back(constant - 0.5 * (d * pull.back()).sum(1, true));
      }
      const auto r = torch::stack(log_p).softmax(0);  // [K, B, 1, H, W]
      auto eps = r[0] * pull[0];
      for (size_t k = 1; k < weight.size(); ++k) eps += r[k] * pull[k];
      return eps * sigma;
    };
  }

  torch::Tensor exact_mean() const {  // [C]
    auto m = torch::zeros({static_cast<int64_t>(channels())}, torch::kFloat64);
    for (size_t k = 0; k < weight.size(); ++k)
      m += weight[k] * torch::tensor(mean[k], torch::kFloat64);
    return m;
  }
  torch::Tensor exact_covariance() const {  // [C, C]
    const auto m = exact_mean();
    auto covariance = -m.outer(m);
    for (size_t k = 0; k < weight.size(); ++k) {
      const auto mu = torch::tensor(mean[k], torch::kFloat64);
      covariance +=
          weight[k] * (torch::tensor(std[k], torch::kFloat64).square().diag() + mu.outer(mu));
    }
    return covariance;
  }
};

}  // namespace uvic::test
