// CUDA graphs: GPU work is recorded once and replayed. A whole training step, or an evaluation of a
// network, then costs the host one launch. Built with cuda_graph.cpp, or with no_cuda.cpp if
// LibTorch has no CUDA.
#pragma once

#include <functional>
#include <memory>

#include "base/torch.h"
#include "diffusion/guidance.h"

namespace uvic::app {

/// One recorded graph of CUDA work, with its own stream.
class CudaGraph {
 public:
  explicit CudaGraph(torch::Device device);
  ~CudaGraph();

  /// Runs `work` on the stream of this graph, after the work on the current stream. Later work on
  /// the current stream waits for it.
  void run(const std::function<void()>& work);
  /// Records `work` without running it. Tensors that `work` creates keep their memory for the
  /// lifetime of the graph. Returns false if it cannot be recorded (for example, because it waits
  /// for the host); then error() has the reason, and the device is in the same state as before.
  bool record(const std::function<void()>& work);
  /// Runs the recorded work, with the same order as run(). Random numbers continue from the state
  /// of the default generator.
  void replay();
  bool recorded() const;
  /// As if record() had failed for that reason. The memory of the recording is free again.
  void forget(const std::string& why);
  const std::string& error() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Wraps a network for sampling, where the weights do not change. The second call with inputs of
/// one shape is recorded, and later calls replay it. Calls that cannot be recorded, and all calls
/// on the CPU, run the network directly. KeepRecordings keeps the recordings of the same
/// `identity`. With a null identity, the recordings are freed with the result.
diffusion::ConditionalNetwork replayed(diffusion::ConditionalNetwork network,
                                       torch::Device device,
                                       const void* identity = nullptr);

/// During the lifetime of such an object, replayed() reuses the recordings of the same `identity`,
/// so that several batches record each shape once. During this time no weight of the network may
/// change or be freed. Objects can be nested.
class KeepRecordings {
 public:
  KeepRecordings();
  ~KeepRecordings();
  KeepRecordings(const KeepRecordings&) = delete;
  KeepRecordings& operator=(const KeepRecordings&) = delete;
};

}  // namespace uvic::app
