// A training step on a GPU without a wait for the host: recorded as one CUDA graph, its numbers
// read late. Built with cuda_step.cpp, or with no_cuda.cpp where LibTorch has no CUDA.
#pragma once

#include <memory>

#include "app/runs/run_config.h"
#include "app/training/gradient_exchange.h"
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

  /// How steps run, once that is known: for the log; empty before, and once reported. Of several
  /// processes all record their steps, or none.
  virtual std::string note() = 0;
};

/// Null on the CPU, in a build without CUDA kernels, for an optimizer other than AdamW, or where
/// the parameters are not float32 and contiguous: then the trainer's own step serves. `objective`
/// and `state` outlive the result.
///
/// `exchange`: of several processes, each with its slice of a batch of config.batch_size. A step
/// then sums gradients and losses over all, and sends what a process has updated of a shared state,
/// by calls that are recorded with it. Losses and norms are those of the whole batch. Throws
/// base::ProcessLost.
std::unique_ptr<CudaStep> make_cuda_step(const RunConfig& config,
                                         const Objective& objective,
                                         TrainState& state,
                                         GradientExchange* exchange = nullptr);

}  // namespace uvic::app
