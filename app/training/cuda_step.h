// A training step on a GPU without a wait for the host: recorded as one CUDA graph, its numbers
// read late. Built with cuda_step.cpp, or with no_cuda.cpp where LibTorch has no CUDA.
#pragma once

#include <memory>

#include "app/runs/run_config.h"
#include "app/training/objective.h"
#include "app/training/train_state.h"
#include "base/torch.h"
#include "data/batch.h"

namespace uvic::app {

class CudaStep {
 public:
  virtual ~CudaStep() = default;

  /// Puts a step on the GPU and returns at once. The batch is copied through pinned memory while
  /// earlier steps run. The first steps run launch by launch, the others as one recorded graph, or
  /// on as they began where it cannot be recorded (note() says why).
  virtual void run(const data::Batch& batch, const OptimizerStep& step) = 0;

  struct Totals {
    double loss = 0;  ///< summed over the steps since the last call
    double norm = 0;  ///< of the gradients before clipping, summed
  };
  /// Waits for the GPU. Not finite where one of the steps was not; such a step has changed nothing.
  virtual Totals take() = 0;

  /// How steps run, once that is known: for the log; empty before, and once reported.
  virtual std::string note() = 0;
};

/// Null on the CPU, in a build without CUDA kernels, for an optimizer other than AdamW, or where
/// the parameters are not float32 and contiguous: then the trainer's own step serves. `objective`
/// and `state` outlive the result.
std::unique_ptr<CudaStep> make_cuda_step(const RunConfig& config,
                                         const Objective& objective,
                                         TrainState& state);

}  // namespace uvic::app
