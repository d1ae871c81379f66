#include "app/training/adamw.h"

#include <cmath>
#include <map>

#include "model/kernels/cpu/optimizer_kernels.h"

namespace uvic::app {
namespace {

class Adamw : public Optimizer {
 public:
  Adamw(const OptimizerConfig& config, const OptimizedTensors& tensors)
      : config_(config),
        tensors_(tensors),
        parameters_(tensors_.parameters),
        averages_(tensors_.averages) {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      exp_avg_.push_back(tensors.zeros_of(i));
      exp_avg_sq_.push_back(tensors.zeros_of(i));
    }
  }

  std::vector<TensorSet> state() const override {
    return {{"exp_avg", exp_avg_}, {"exp_avg_sq", exp_avg_sq_}};
  }

  double step(const OptimizerStep& step) override {
    const torch::NoGradGuard no_grad;
    return in_one_pass() ? fused_step(step) : plain_step(step);
  }

 private:
  bool in_one_pass() const {
    for (const auto& p : parameters_)
      if (!p.is_cpu() || p.scalar_type() != torch::kFloat32 || !p.is_contiguous()) return false;
    return true;
  }

  double clip_factor(double norm) const {
    if (!std::isfinite(norm)) throw NotFinite();
    return config_.grad_clip > 0 && norm > config_.grad_clip ? config_.grad_clip / norm : 1.0;
  }

  // On the CPU weights, both moments and the average are read and written once.
  double fused_step(const OptimizerStep& step) {
    std::vector<torch::Tensor> grads;
    for (const auto& p : parameters_)
      grads.push_back(p.grad().defined() ? p.grad().contiguous() : torch::Tensor());
    const double norm = model::gradient_norm(grads);
    model::AdamwStep pass;
    pass.beta1 = config_.beta1, pass.beta2 = config_.beta2;
    pass.epsilon = config_.eps;
    pass.step = step.number, pass.ema_decay = step.ema_decay;
    pass.grad_factor = clip_factor(norm);
    std::map<double, std::vector<model::AdamwTensors>> tensors;  // by the factor of their rate
    for (size_t i = 0; i < parameters_.size(); ++i)
      if (tensors_.is_own(i))
        tensors[tensors_.rate_factor(i)].push_back(
            {parameters_[i], grads[i], exp_avg_[i], exp_avg_sq_[i], averages_[i], {}});
    for (const auto& [factor, group] : tensors) {
      // The decay is the product of both.
      pass.lr = step.lr * factor, pass.weight_decay = config_.weight_decay / factor;
      model::fused_adamw_ema(group, pass);
    }
    for (auto p : parameters_) p.mutable_grad() = torch::Tensor();
    return norm;
  }

  double plain_step(const OptimizerStep& step) {
    double square_sum = 0;
    for (const auto& p : parameters_)
      if (p.grad().defined())
        square_sum += p.grad().to(torch::kFloat32).square().sum().item<double>();
    const double norm = std::sqrt(square_sum);
    const double clip = clip_factor(norm);
    const auto number = static_cast<double>(step.number);
    const double correction1 = 1 - std::pow(config_.beta1, number),
                 correction2 = 1 - std::pow(config_.beta2, number);
    for (size_t i = 0; i < parameters_.size(); ++i) {
      auto p = parameters_[i];
      if (!tensors_.is_own(i)) {
        p.mutable_grad() = torch::Tensor();
        continue;
      }
      if (p.grad().defined()) {
        const auto g = p.grad() * clip;
        p.mul_(1 - step.lr * config_.weight_decay);
        exp_avg_[i].mul_(config_.beta1).add_(g, 1 - config_.beta1);
        exp_avg_sq_[i].mul_(config_.beta2).addcmul_(g, g, 1 - config_.beta2);
        p.addcdiv_(exp_avg_[i],
                   (exp_avg_sq_[i] / correction2).sqrt_().add_(config_.eps),
                   -step.lr * tensors_.rate_factor(i) / correction1);
        p.mutable_grad() = torch::Tensor();
      }
      averages_[i].lerp_(p, 1 - step.ema_decay);
    }
    return norm;
  }

  OptimizerConfig config_;
  const OptimizedTensors tensors_;
  const std::vector<torch::Tensor>&parameters_, &averages_;
  std::vector<torch::Tensor> exp_avg_, exp_avg_sq_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(const OptimizerConfig& config,
                                      const OptimizedTensors& tensors) {
  return std::make_unique<Adamw>(config, tensors);
}

}  // namespace uvic::app
