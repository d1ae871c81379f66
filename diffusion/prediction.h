// What a network can predict, and the conversion between these predictions.
#pragma once

#include <string>
#include <utility>

#include "base/table.h"
#include "base/torch.h"

namespace uvic::diffusion {

/// Every prediction is a linear combination a x0 + b eps at given alpha and sigma:
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

/// The training target for x0 and eps. alpha and sigma ([B, 1, 1, 1]) broadcast against x0.
torch::Tensor make_target(Prediction kind,
                          const torch::Tensor& x0,
                          const torch::Tensor& eps,
                          const torch::Tensor& alpha,
                          const torch::Tensor& sigma,
                          double sigma_data);

/// eps and x0 from a prediction at x_t, in the shape and dtype of x_t. x0 is undefined where alpha
/// is 0, eps where sigma is 0.
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

/// Converts a prediction to another kind at the same x_t.
torch::Tensor convert_prediction(Prediction from,
                                 Prediction to,
                                 const torch::Tensor& prediction,
                                 const torch::Tensor& x_t,
                                 double alpha,
                                 double sigma,
                                 double sigma_data);

/// (c, d) such that c p + d x_t has the direction of the velocity eps - x0 that a prediction p at
/// x_t means, or everywhere the opposite one:
///
///   c = alpha + sigma, d = -(a + b)
///
/// with a and b as above. It has no division, so it holds at every time. For flow d is 0.
std::pair<torch::Tensor, torch::Tensor> velocity_direction(Prediction kind,
                                                           const torch::Tensor& alpha,
                                                           const torch::Tensor& sigma,
                                                           double sigma_data);

/// |d x0 / d prediction| at fixed x_t, a function of r = sigma / alpha (any shape). It converts the
/// weight of an error of x0 to the weight of an error of the prediction.
torch::Tensor x0_sensitivity(Prediction kind, const torch::Tensor& r, double sigma_data);

}  // namespace uvic::diffusion
