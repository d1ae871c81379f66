// A Gaussian mixture whose noise predictor, mean and covariance are known in closed form: the samplers' yardstick.
#pragma once

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "diffusion/denoiser.h"

namespace uvic::test {

/// x0 ~ sum_k weight_k N(mean_k, diag(std_k^2)) over the channels of each pixel, pixels independent.
struct Mixture {
  std::vector<double> weight = {0.4, 0.35, 0.25};
  std::vector<std::vector<double>> mean = {{-0.7, 0.4}, {0.5, 0.6}, {0.3, -0.8}};
  std::vector<std::vector<double>> std = {{0.2, 0.3}, {0.25, 0.15}, {0.3, 0.2}};

  size_t channels() const { return mean[0].size(); }

  /// eps = sigma sum_k r_k (x - alpha mu_k) / v_k, v_k = alpha^2 s_k^2 + sigma^2, r_k the posterior of component k.
  void eps(const double* x, double alpha, double sigma, double* out) const {
    double log_p[8], highest = -1e300, sum = 0;
    for (size_t k = 0; k < weight.size(); ++k) {
      log_p[k] = std::log(weight[k]);
      for (size_t c = 0; c < channels(); ++c) {
        const double v = variance(k, c, alpha, sigma), d = x[c] - alpha * mean[k][c];
        log_p[k] -= 0.5 * (d * d / v + std::log(v));
      }
      highest = std::max(highest, log_p[k]);
    }
    for (size_t k = 0; k < weight.size(); ++k) sum += log_p[k] = std::exp(log_p[k] - highest);
    for (size_t c = 0; c < channels(); ++c) {
      out[c] = 0;
      for (size_t k = 0; k < weight.size(); ++k)
        out[c] += sigma * log_p[k] / sum * (x[c] - alpha * mean[k][c]) / variance(k, c, alpha, sigma);
    }
  }
  double variance(size_t k, size_t c, double alpha, double sigma) const {
    return alpha * alpha * std[k][c] * std[k][c] + sigma * sigma;
  }

  /// The exact denoiser, computed in float64, returned in the dtype of x.
  diffusion::Denoiser denoiser(const diffusion::NoiseSchedule& schedule) const {
    return [this, &schedule](const torch::Tensor& x, double t) {
      const double alpha = schedule.alpha(t), sigma = schedule.sigma(t);
      auto pixels = x.to(torch::kFloat64).permute({0, 2, 3, 1}).contiguous();  // [B, H, W, C]
      auto out = torch::empty_like(pixels);
      const auto c = static_cast<int64_t>(channels());
      const auto* in = pixels.data_ptr<double>();
      auto* result = out.data_ptr<double>();
      for (int64_t i = 0; i < pixels.numel() / c; ++i) eps(in + i * c, alpha, sigma, result + i * c);
      return out.permute({0, 3, 1, 2}).contiguous().to(x.scalar_type());
    };
  }

  torch::Tensor exact_mean() const {  // [C]
    auto m = torch::zeros({static_cast<int64_t>(channels())}, torch::kFloat64);
    for (size_t k = 0; k < weight.size(); ++k) m += weight[k] * torch::tensor(mean[k], torch::kFloat64);
    return m;
  }
  torch::Tensor exact_covariance() const {  // [C, C]
    const auto m = exact_mean();
    auto covariance = -m.outer(m);
    for (size_t k = 0; k < weight.size(); ++k) {
      const auto mu = torch::tensor(mean[k], torch::kFloat64);
      covariance += weight[k] * (torch::tensor(std[k], torch::kFloat64).square().diag() + mu.outer(mu));
    }
    return covariance;
  }
};

}  // namespace uvic::test
