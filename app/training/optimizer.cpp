#include "app/training/optimizer.h"

#include <cmath>

#include "app/training/adamw.h"
#include "app/training/alignment.h"
#include "app/training/muon.h"
#include "model/kernels/cpu/optimizer_kernels.h"
#include "model/network_config.h"

namespace uvic::app {

base::Table<OptimizerKind>& optimizer_kinds() {
  static base::Table<OptimizerKind> kinds(
      "optimizer.kind",
      {
          {"adamw", "Adam with decoupled weight decay on every parameter", 8, 8, make_adamw},
          {"muon",
           "orthogonal updates of the matrices in hidden layers, AdamW for the rest",
           4,
           8,
           make_muon},
      });
  return kinds;
}

torch::Tensor OptimizedTensors::zeros_of(size_t parameter) const {
  return is_own(parameter) ? torch::zeros_like(parameters[parameter])
                           : torch::empty({0}, parameters[parameter].options());
}

double optimizer_state_bytes(const RunConfig& config) {
  const auto& kind = optimizer_kinds().at(config.optimizer.kind);
  const auto all = static_cast<double>(model::parameter_count(config.model)),
             hidden = static_cast<double>(model::hidden_parameter_count(config.model));
  const auto head = static_cast<double>(alignment_parameters(config));
  return kind.bytes_per_hidden * hidden + kind.bytes_per_other * (all - hidden + head);
}

double gradient_norm_of(const std::vector<torch::Tensor>& parameters) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> on_cpu;
  double square_sum = 0;
  for (const auto& p : parameters) {
    const auto& g = p.grad();
    if (!g.defined()) continue;
    if (g.is_cpu() && g.scalar_type() == torch::kFloat32)
      on_cpu.push_back(g.contiguous());
    else
      square_sum += g.to(torch::kFloat32).square().sum().item<double>();
  }
  const double norm_on_cpu = model::gradient_norm(on_cpu);
  const double norm =
      square_sum == 0 ? norm_on_cpu : std::sqrt(square_sum + norm_on_cpu * norm_on_cpu);
  if (!std::isfinite(norm)) throw NotFinite();
  return norm;
}

std::vector<base::Choice> optimizer_choices() { return optimizer_kinds().choices(); }

}  // namespace uvic::app
