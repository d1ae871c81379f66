#include "app/training/adamw.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <vector>

#include "model/kernels/cpu/optimizer_kernels.h"

namespace uvic::app {
namespace {

bool in_one_pass(const TrainState& state) {
  for (const auto& p : state.parameters)
    if (!p.is_cpu() || p.scalar_type() != torch::kFloat32 || !p.is_contiguous()) return false;
  return true;
}

double clip_factor(const OptimizerConfig& config, double norm) {
  if (!std::isfinite(norm))
    throw std::runtime_error(fmt::format("the gradient's norm is {}", norm));
  return config.grad_clip > 0 && norm > config.grad_clip ? config.grad_clip / norm : 1.0;
}

// On the CPU: weights, both averages of the gradient and the average of the weights are read and
// written once.
double fused_step(const OptimizerConfig& config, double lr, double ema_decay, TrainState& state) {
  std::vector<torch::Tensor> grads;
  for (const auto& p : state.parameters)
    grads.push_back(p.grad().defined() ? p.grad().contiguous() : torch::Tensor());
  const double norm = model::gradient_norm(grads);
  model::AdamwStep step;
  step.lr = lr, step.beta1 = config.beta1, step.beta2 = config.beta2, step.epsilon = config.eps;
  step.weight_decay = config.weight_decay, step.step = state.step, step.ema_decay = ema_decay;
  step.grad_factor = clip_factor(config, norm);
  std::vector<model::AdamwTensors> tensors;
  for (size_t i = 0; i < state.parameters.size(); ++i)
    tensors.push_back({state.parameters[i],
                       grads[i],
                       state.exp_avg[i],
                       state.exp_avg_sq[i],
                       state.averages[i],
                       {}});
  model::fused_adamw_ema(tensors, step);
  for (auto p : state.parameters) p.mutable_grad() = torch::Tensor();
  return norm;
}

}  // namespace

double optimizer_step(const OptimizerConfig& config,
                      double lr,
                      double ema_decay,
                      TrainState& state) {
  const torch::NoGradGuard no_grad;
  if (in_one_pass(state)) return fused_step(config, lr, ema_decay, state);
  double square_sum = 0;
  for (const auto& p : state.parameters)
    if (p.grad().defined())
      square_sum += p.grad().to(torch::kFloat32).square().sum().item<double>();
  const double norm = std::sqrt(square_sum);
  const double clip = clip_factor(config, norm);

  const double correction1 = 1 - std::pow(config.beta1, state.step),
               correction2 = 1 - std::pow(config.beta2, state.step);
  for (size_t i = 0; i < state.parameters.size(); ++i) {
    auto p = state.parameters[i];
    if (p.grad().defined()) {
      const auto g = p.grad() * clip;
      p.mul_(1 - lr * config.weight_decay);
      state.exp_avg[i].mul_(config.beta1).add_(g, 1 - config.beta1);
      state.exp_avg_sq[i].mul_(config.beta2).addcmul_(g, g, 1 - config.beta2);
      p.addcdiv_(state.exp_avg[i],
                 (state.exp_avg_sq[i] / correction2).sqrt_().add_(config.eps),
                 -lr / correction1);
      p.mutable_grad() = torch::Tensor();
    }
    state.averages[i].lerp_(p, 1 - ema_decay);
  }
  return norm;
}

}  // namespace uvic::app
