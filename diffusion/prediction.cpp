#include "diffusion/prediction.h"

#include <cmath>

#include "diffusion/combine.h"

namespace uvic::diffusion {
namespace {

/// prediction = a x0 + b eps.
template <class T>
struct Mix {
  T a, b;
};

template <class T>
Mix<T> mix(Prediction kind, const T& alpha, const T& sigma, double sigma_data) {
  using std::sqrt;
  const T zero = 0.0 * alpha, one = zero + 1.0;
  switch (kind) {
    case Prediction::eps:
      return {zero, one};
    case Prediction::x0:
      return {one, zero};
    case Prediction::flow:
      return {-one, one};
    case Prediction::v: {
      const T norm = sqrt(alpha * alpha + sigma * sigma);
      return {-sigma / norm, alpha / norm};
    }
    case Prediction::edm: {
      const T r = sigma / alpha;
      const T norm = sqrt(r * r + sigma_data * sigma_data);
      // c_skip = d^2 / norm^2, c_out = r d / norm; (x0 - c_skip (x0 + r eps)) / c_out
      return {r / (norm * sigma_data), -sigma_data / norm};
    }
  }
  throw std::invalid_argument("prediction: no such kind");
}

}  // namespace

base::Table<PredictionKind>& predictions() {
  static base::Table<PredictionKind> kinds(
      "prediction",
      {
          {"eps", "the noise", Prediction::eps},
          {"x0", "the clean image", Prediction::x0},
          {"v", "the velocity of the variance-preserving path", Prediction::v},
          {"flow", "eps - x0, the velocity of rectified flow", Prediction::flow},
          {"edm", "x0, preconditioned as in EDM", Prediction::edm},
      });
  return kinds;
}

Prediction parse_prediction(const std::string& name) { return predictions().at(name).kind; }

torch::Tensor make_target(Prediction kind,
                          const torch::Tensor& x0,
                          const torch::Tensor& eps,
                          const torch::Tensor& alpha,
                          const torch::Tensor& sigma,
                          double sigma_data) {
  if (kind == Prediction::eps) return eps;
  if (kind == Prediction::x0) return x0;
  const auto m = mix(kind, alpha, sigma, sigma_data);
  return m.a.to(x0.scalar_type()) * x0 + m.b.to(x0.scalar_type()) * eps;
}

// Solves x_t = alpha x0 + sigma eps and p = a x0 + b eps by Cramer's rule.

torch::Tensor eps_from(Prediction kind,
                       const torch::Tensor& p,
                       const torch::Tensor& x_t,
                       double alpha,
                       double sigma,
                       double sigma_data) {
  if (kind == Prediction::eps) return p;
  const auto m = mix(kind, alpha, sigma, sigma_data);
  const double determinant = alpha * m.b - sigma * m.a;
  return combine({{alpha / determinant, p}, {-m.a / determinant, x_t}});
}

torch::Tensor x0_from(Prediction kind,
                      const torch::Tensor& p,
                      const torch::Tensor& x_t,
                      double alpha,
                      double sigma,
                      double sigma_data) {
  if (kind == Prediction::x0) return p;
  const auto m = mix(kind, alpha, sigma, sigma_data);
  const double determinant = alpha * m.b - sigma * m.a;
  return combine({{m.b / determinant, x_t}, {-sigma / determinant, p}});
}

torch::Tensor convert_prediction(Prediction from,
                                 Prediction to,
                                 const torch::Tensor& p,
                                 const torch::Tensor& x_t,
                                 double alpha,
                                 double sigma,
                                 double sigma_data) {
  if (from == to) return p;
  const auto source = mix(from, alpha, sigma, sigma_data),
             target = mix(to, alpha, sigma, sigma_data);
  const double determinant = alpha * source.b - sigma * source.a;
  const double of_p = (alpha * target.b - sigma * target.a) / determinant;
  const double of_x = (target.a * source.b - target.b * source.a) / determinant;
  return combine({{of_p, p}, {of_x, x_t}});
}

std::pair<torch::Tensor, torch::Tensor> velocity_direction(Prediction kind,
                                                           const torch::Tensor& alpha,
                                                           const torch::Tensor& sigma,
                                                           double sigma_data) {
  // From p = a x0 + b eps and x_t = alpha x0 + sigma eps:
  // (alpha b - sigma a) (eps - x0) = (alpha + sigma) p - (a + b) x_t.
  const auto m = mix(kind, alpha, sigma, sigma_data);
  return {alpha + sigma, -(m.a + m.b)};
}

torch::Tensor x0_sensitivity(Prediction kind, const torch::Tensor& r, double sigma_data) {
  switch (kind) {
    case Prediction::eps:
      return r;
    case Prediction::x0:
      return torch::ones_like(r);
    case Prediction::v:
      return r / (r * r + 1).sqrt();
    case Prediction::flow:
      return r / (r + 1);
    case Prediction::edm:
      return r * sigma_data / (r * r + sigma_data * sigma_data).sqrt();
  }
  throw std::invalid_argument("prediction: no such kind");
}

}  // namespace uvic::diffusion
