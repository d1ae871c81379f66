// What a training step minimises. The step knows nothing else of the task.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>

#include "app/runs/run_config.h"
#include "data/batch.h"
#include "model/network.h"

namespace uvic::app {

/// A task's loss, as a sum over terms (images, tokens) whose mean is minimised.
class Objective {
 public:
  virtual ~Objective() = default;

  /// How many terms the loss of `batch` sums over.
  virtual int64_t count(const data::Batch& batch) const = 0;

  /// The summed loss with its graph, a float32 scalar on the network's device.
  ///
  /// Every random number is a function of the run's seed and batch.positions: the losses of two
  /// halves of a batch add up to the loss of the whole. May be called by several threads at once,
  /// and be recorded in a CUDA graph that reads the batch anew at each replay.
  virtual torch::Tensor loss(model::Network& network, const data::Batch& batch) const = 0;
};

/// The objective of the run's task.
std::unique_ptr<const Objective> make_objective(const RunConfig& config);

}  // namespace uvic::app
