// cuda_graph.h and cuda_step.h in a build without CUDA: every function is there, and serves
// nothing.
#include <stdexcept>

#include "app/sampling/cuda_graph.h"
#include "app/training/cuda_step.h"

namespace uvic::app {

struct CudaGraph::State {
  std::string error = "this build has no CUDA";
};

CudaGraph::CudaGraph(torch::Device) : state_(new State) {}
CudaGraph::~CudaGraph() = default;
void CudaGraph::run(const std::function<void()>& work) { work(); }
bool CudaGraph::record(const std::function<void()>&) { return false; }
void CudaGraph::replay() { throw std::logic_error("CudaGraph: nothing was recorded"); }
void CudaGraph::forget(const std::string& why) { state_->error = why; }
bool CudaGraph::recorded() const { return false; }
const std::string& CudaGraph::error() const { return state_->error; }

diffusion::ConditionalNetwork replayed(diffusion::ConditionalNetwork network,
                                       torch::Device,
                                       const void*) {
  return network;
}

KeepRecordings::KeepRecordings() = default;
KeepRecordings::~KeepRecordings() = default;

std::unique_ptr<CudaStep> make_cuda_step(const RunConfig&,
                                         const Objective&,
                                         TrainState&,
                                         GradientExchange*) {
  return nullptr;
}

}  // namespace uvic::app
