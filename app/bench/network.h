// A network with the state and the inputs of a training step and of an evaluation.
#pragma once

#include <memory>
#include <string>

#include "app/runs/run_config.h"
#include "app/training/cuda_step.h"
#include "app/training/objective.h"
#include "app/training/train_state.h"
#include "base/torch.h"

namespace uvic::app {

/// Waits until the device has finished all work. No wait for the CPU.
void wait_for(torch::Device device);

/// New weights and random images: the speed depends on neither.
class BenchNetwork {
 public:
  /// `name` is for tables. Uses batch_size, shards and precision of `options`. With route_share
  /// every step has the bypass, as those before route_images. Throws what make_network() throws.
  BenchNetwork(std::string name, const RunConfig& options, torch::Device device);

  const std::string& name() const { return name_; }
  /// What of the config is measured otherwise; empty: nothing.
  const std::string& note() const { return note_; }
  const RunConfig& options() const { return options_; }
  torch::Dtype dtype() const { return dtype_; }

  /// Noise, forward, backward, AdamW and the average of the weights, as in the trainer. Unlike the
  /// trainer, it waits for the device after each step.
  void training_step();
  /// One evaluation without gradients.
  void evaluate();
  /// Generates a batch of images with `evaluations` evaluations of the default sampler.
  void generate(int64_t evaluations);

 private:
  std::string name_, note_;
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
