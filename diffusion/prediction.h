// What a network may predict, and the one conversion between all of it.
#pragma once

#include <torch/torch.h>

#include <string>

#include "base/table.h"

namespace uvic::diffusion {

/// Every prediction is a mix a x0 + b eps at given alpha, sigma:
///
///   eps   a = 0, b = 1
///   x0    a = 1, b = 0
///   v     (alpha eps - sigma x0) / sqrt(alpha^2 + sigma^2)
///         Salimans & Ho 2022, arXiv:2202.00512
///   flow  eps - x0
///         Liu et al. 2022, arXiv:2209.03003
///   edm   (x0 - c_skip x_t / alpha) / c_out at noise sigma / alpha
///         Karras et al. 2022, arXiv:2206.00364, table 1
enum class Prediction { eps, x0, v, flow, edm };

struct PredictionKind {
  const char* name;
  const char* help;
  Prediction kind;
};
base::Table<PredictionKind>& predictions();

/// Throws std::invalid_argument that lists the names.
Prediction parse_prediction(const std::string& name);

/// The training target. alpha and sigma broadcast against x0 ([B, 1, 1, 1]).
torch::Tensor make_target(Prediction kind,
                          const torch::Tensor& x0,
                          const torch::Tensor& eps,
                          const torch::Tensor& alpha,
                          const torch::Tensor& sigma,
                          double sigma_data);

/// eps and x0 implied by a prediction at x_t; shapes and dtypes of x_t. Undefined where alpha (for
/// x0) or sigma (for eps) is 0.
torch::Tensor eps_from(Prediction kind,
                       const torch::Tensor& prediction,
                       const torch::Tensor& x_t,
                       double alpha,
                       double sigma,
                       double sigma_data);
torch::Tensor x0_from(Prediction kind,
                      const torch::Tensor& prediction,
                      const torch::Tensor& x_t,
                      double alpha,
                      double sigma,
                      double sigma_data);

/// Turns a prediction of one kind into another at the same x_t.
torch::Tensor convert_prediction(Prediction from,
                                 Prediction to,
                                 const torch::Tensor& prediction,
                                 const torch::Tensor& x_t,
                                 double alpha,
                                 double sigma,
                                 double sigma_data);

/// |d x0 / d prediction| at fixed x_t, a function of r = sigma / alpha (any shape): what turns a
/// loss on x0 into one on the prediction.
torch::Tensor x0_sensitivity(Prediction kind, const torch::Tensor& r, double sigma_data);

}  // namespace uvic::diffusion
