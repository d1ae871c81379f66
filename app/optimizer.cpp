#include "app/optimizer.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

namespace uvic::app {

double optimizer_step(const OptimizerConfig& config, double lr, double ema_decay, TrainState& state) {
  const torch::NoGradGuard no_grad;
  double square_sum = 0;
  for (const auto& p : state.parameters)
    if (p.grad().defined()) square_sum += p.grad().to(torch::kFloat32).square().sum().item<double>();
  const double norm = std::sqrt(square_sum);
  if (!std::isfinite(norm)) throw std::runtime_error(fmt::format("the gradient's norm is {}", norm));
  const double clip = config.grad_clip > 0 && norm > config.grad_clip ? config.grad_clip / norm : 1.0;

  const double correction1 = 1 - std::pow(config.beta1, state.step), correction2 = 1 - std::pow(config.beta2, state.step);
  for (size_t i = 0; i < state.parameters.size(); ++i) {
    auto p = state.parameters[i];
    if (p.grad().defined()) {
      const auto g = p.grad() * clip;
      p.mul_(1 - lr * config.weight_decay);
      state.exp_avg[i].mul_(config.beta1).add_(g, 1 - config.beta1);
      state.exp_avg_sq[i].mul_(config.beta2).addcmul_(g, g, 1 - config.beta2);
      p.addcdiv_(state.exp_avg[i], (state.exp_avg_sq[i] / correction2).sqrt_().add_(config.eps), -lr / correction1);
      p.mutable_grad() = torch::Tensor();
    }
    state.averages[i].lerp_(p, 1 - ema_decay);
  }
  return norm;
}

}  // namespace uvic::app
