// From gradients to new weights: what the trainer knows of an optimizer, and the table of them.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "app/runs/run_config.h"
#include "base/table.h"
#include "base/torch.h"

namespace uvic::app {

/// Tensors that an optimizer keeps, one for each parameter, in the parameters' order.
struct TensorSet {
  std::string name;  ///< "exp_avg": part of their names in state files
  /// Undefined for parameters that have none in this set; without elements for those whose tensor
  /// another process has.
  std::vector<torch::Tensor> tensors;
};

/// What an optimizer changes. `averages` follow `parameters` in every step; both are float32 and
/// shared, not copied.
struct OptimizedTensors {
  std::vector<torch::Tensor> parameters, averages;
  /// For each parameter model::Network::stacked_matrices(); empty: all 0.
  std::vector<int64_t> matrices{};
  /// For each parameter what multiplies the learning rate (model/rate_factors.h), but not the decay
  /// of weights; empty: all 1.
  std::vector<double> rate_factors{};
  /// Of several processes that share the state: whether this one updates a parameter, and has its
  /// average and the optimizer's tensors; empty: all.
  std::vector<bool> own{};

  double rate_factor(size_t parameter) const {
    return rate_factors.empty() ? 1 : rate_factors[parameter];
  }
  bool is_own(size_t parameter) const { return own.empty() || own[parameter]; }
  /// A tensor of zeros for the optimizer's state: without elements where another process has it.
  torch::Tensor zeros_of(size_t parameter) const;
};

/// What changes from step to step.
struct OptimizerStep {
  double lr = 0;
  double ema_decay = 0;  ///< of the average: average = decay * average + (1 - decay) * parameter
  int64_t number = 1;    ///< of this step, from 1
};

/// A gradient's norm that is not finite: training has diverged.
struct NotFinite : std::runtime_error {
  NotFinite() : std::runtime_error("the gradient's norm is not finite") {}
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// Its state, which training changes in place: saved and loaded whole.
  virtual std::vector<TensorSet> state() const = 0;

  /// Updates parameters that are its own, and their average, from parameters[i].grad(). Consumes
  /// all gradients. Returns the norm of all of them before clipping. Throws NotFinite where that is
  /// not finite, changing nothing.
  virtual double step(const OptimizerStep& step) = 0;
};

/// One row for each optimizer.
struct OptimizerKind {
  const char* name;
  const char* help;
  double bytes_per_hidden;  ///< of state, for each number in the matrices of hidden layers
  double bytes_per_other;   ///< for each number of the other parameters
  std::unique_ptr<Optimizer> (*make)(const OptimizerConfig& config,
                                     const OptimizedTensors& tensors);
};

base::Table<OptimizerKind>& optimizer_kinds();

/// Bytes of state that the optimizer of the config keeps for its network.
double optimizer_state_bytes(const RunConfig& config);

/// The L2 norm of all gradients together; parameters without one count as 0. Throws NotFinite.
double gradient_norm_of(const std::vector<torch::Tensor>& parameters);

}  // namespace uvic::app
