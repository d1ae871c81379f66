// A network and what one step of its training or one evaluation of it needs.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>

#include "app/runs/run_config.h"
#include "app/training/cuda_step.h"
#include "app/training/objective.h"
#include "app/training/train_state.h"

namespace uvic::app {

/// Waits until the device has done all that it was given; the CPU always has.
void wait_for(torch::Device device);

/// Fresh weights and random pictures: what is computed does not depend on either.
class BenchNetwork {
 public:
  /// `name` stands in tables; batch_size, shards and precision of `options` apply. Throws what
  /// building a network throws.
  BenchNetwork(std::string name, const RunConfig& options, torch::Device device);

  const std::string& name() const { return name_; }
  const RunConfig& options() const { return options_; }
  torch::Dtype dtype() const { return dtype_; }

  /// Noise, forward, backward, AdamW and the weights' average, as the trainer does them; waits for
  /// the device each time, which the trainer does not.
  void training_step();
  /// One evaluation without gradients.
  void evaluate();
  /// A batch of pictures through `evaluations` evaluations of the default sampler.
  void draw(int64_t evaluations);

 private:
  std::string name_;
  RunConfig options_;
  torch::Device device_;
  torch::Dtype dtype_;
  std::unique_ptr<TrainState> state_;
  std::unique_ptr<const Objective> objective_;
  std::unique_ptr<CudaStep> on_gpu_;  ///< null on the CPU
  data::Batch batch_;
  torch::Tensor x_, times_, condition_;
};

}  // namespace uvic::app
