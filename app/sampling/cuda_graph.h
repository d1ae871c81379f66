// Work on a GPU recorded once and replayed: the launches of a whole training step or of a network's
// evaluation cost the host one call. Built with cuda_graph.cpp, or with no_cuda.cpp where LibTorch
// has no CUDA.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <memory>

#include "diffusion/guidance.h"

namespace uvic::app {

/// One recorded graph of CUDA work on a stream of its own.
class CudaGraph {
 public:
  explicit CudaGraph(torch::Device device);
  ~CudaGraph();

  /// Runs `work` on this graph's stream, after what stands on the current stream; the current
  /// stream goes on after it.
  void run(const std::function<void()>& work);
  /// Records `work` without running it; false where it cannot be recorded (it waits for the host,
  /// say), with the reason in error(), and then the device serves as before. Tensors that `work`
  /// makes keep their memory as long as the graph lives.
  bool record(const std::function<void()>& work);
  /// Runs what was recorded, ordered as run() is. Random numbers go on from the default generator's
  /// seed.
  void replay();
  bool recorded() const;
  const std::string& error() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The network with each evaluation recorded at its second call for inputs of one shape and
/// replayed from then on; for drawing, where the weights stay. The network itself where it is on
/// the CPU or nothing can be recorded. `identity` says whose recordings KeepRecordings keeps; null:
/// nobody's, they go with the result.
diffusion::ConditionalNetwork replayed(diffusion::ConditionalNetwork network,
                                       torch::Device device,
                                       const void* identity = nullptr);

/// While one of these lives, replayed() goes on with what it has recorded of the same `identity`:
/// several batches in turn record each shape once. Meanwhile no weight of such a network may change
/// or go away. They nest.
class KeepRecordings {
 public:
  KeepRecordings();
  ~KeepRecordings();
  KeepRecordings(const KeepRecordings&) = delete;
  KeepRecordings& operator=(const KeepRecordings&) = delete;
};

}  // namespace uvic::app
