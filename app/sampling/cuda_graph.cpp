#include "app/sampling/cuda_graph.h"

#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace uvic::app {

struct CudaGraph::State {
  explicit State(torch::Device device)
      : stream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())) {}
  c10::cuda::CUDAStream stream;
  std::unique_ptr<at::cuda::CUDAGraph> graph;
  bool recorded = false;
  std::string error;
};

namespace {

/// Cleans up after capture_end() has thrown. Otherwise the allocator continues to use the memory of
/// the invalid recording. The state of the random generator, which all graphs share, reports an
/// error at every later use. Must be called on the stream of the recording.
void give_up(std::unique_ptr<at::cuda::CUDAGraph> graph, c10::cuda::MempoolId_t pool) {
  (void)cudaGetLastError();  // otherwise the next launch reports it again
  const torch::Device device(torch::kCUDA, c10::cuda::current_device());
  try {
    graph->reset();
    c10::cuda::CUDACachingAllocator::endAllocateToPool(device.index(), pool);
    c10::cuda::CUDACachingAllocator::releasePool(device.index(), pool);
  } catch (const std::exception&) {
    // capture_end() or reset() has already released the pool.
  }
  // The allocator of pinned memory may use this graph until the end of the process. The versions of
  // LibTorch 2 have no common way to report the end of the capture to it. So the graph is not
  // freed.
  (void)graph.release();
  try {
    auto any = torch::zeros({1}, device);
    at::cuda::CUDAGraph other;  // its end resets the shared state of the generator
    other.capture_begin();
    any.zero_();
    other.capture_end();
  } catch (const std::exception&) {
    (void)cudaGetLastError();
    // A new state for later random numbers. Older graphs keep the old state and are unusable.
    auto generator = at::globalContext().defaultGenerator(device);
    generator.graphsafe_set_state(generator.clone());
  }
}

}  // namespace

CudaGraph::CudaGraph(torch::Device device) : state_(new State(device)) {}
CudaGraph::~CudaGraph() = default;

void CudaGraph::run(const std::function<void()>& work) {
  const auto outer = c10::cuda::getCurrentCUDAStream(state_->stream.device_index());
  at::cuda::CUDAEvent before, after;
  before.record(outer);
  before.block(state_->stream);
  {
    const c10::cuda::CUDAStreamGuard guard(state_->stream);
    work();
  }
  after.record(state_->stream);
  after.block(outer);
}

bool CudaGraph::record(const std::function<void()>& work) {
  auto& s = *state_;
  s.graph = std::make_unique<at::cuda::CUDAGraph>();
  s.recorded = false;
  const c10::cuda::CUDAStreamGuard guard(s.stream);
  s.stream.synchronize();
  const auto pool = at::cuda::graph_pool_handle();
  bool capturing = false, ended = false;
  try {
    s.graph->capture_begin(pool);
    capturing = true;
    work();
    capturing = false;
    s.graph->capture_end();
    s.recorded = true;
  } catch (const std::exception& error) {
    s.error = error.what();
    if (capturing) try {
        s.graph->capture_end();
        ended = true;
      } catch (const std::exception&) {
        // The recording is already invalid; the cause is in `error`.
      }
    if (ended)
      s.graph.reset();
    else
      give_up(std::move(s.graph), pool);
  }
  return s.recorded;
}

void CudaGraph::replay() {
  run([this] { state_->graph->replay(); });
}

void CudaGraph::forget(const std::string& why) {
  state_->graph.reset();
  state_->recorded = false;
  state_->error = why;
}

bool CudaGraph::recorded() const { return state_->recorded; }
const std::string& CudaGraph::error() const { return state_->error; }

namespace {

/// One shape of inputs.
struct Evaluation {
  int64_t calls = 0;
  bool refused = false;
  std::unique_ptr<CudaGraph> graph;
  torch::Tensor x, time, condition, out;
};

using Shape = std::vector<int64_t>;

Shape shape_of(const torch::Tensor& x, const torch::Tensor& condition) {
  Shape shape = x.sizes().vec();
  shape.push_back(condition.defined() ? condition.dim() : 0);
  if (condition.defined())
    shape.insert(shape.end(), condition.sizes().begin(), condition.sizes().end());
  return shape;
}

using Evaluations = std::map<Shape, Evaluation>;

/// The storage of KeepRecordings.
class Recordings {
 public:
  void keep(int change) {
    const std::lock_guard<std::mutex> lock(mutex_);
    keepers_ += change;
    if (keepers_ == 0) of_.clear();
  }
  std::shared_ptr<Evaluations> of(const void* identity) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!identity || keepers_ == 0) return std::make_shared<Evaluations>();
    auto& evaluations = of_[identity];
    if (!evaluations) evaluations = std::make_shared<Evaluations>();
    return evaluations;
  }

 private:
  std::mutex mutex_;
  int keepers_ = 0;
  std::map<const void*, std::shared_ptr<Evaluations>> of_;
};

Recordings& recordings() {
  static auto* all = new Recordings;  // never freed: CUDA ends before static objects do
  return *all;
}

}  // namespace

KeepRecordings::KeepRecordings() { recordings().keep(1); }
KeepRecordings::~KeepRecordings() { recordings().keep(-1); }

diffusion::ConditionalNetwork replayed(diffusion::ConditionalNetwork network,
                                       torch::Device device,
                                       const void* identity) {
  if (!device.is_cuda()) return network;
  const auto evaluations = recordings().of(identity);
  return [=](const torch::Tensor& x, const torch::Tensor& time, const torch::Tensor& condition) {
    auto& e = (*evaluations)[shape_of(x, condition)];
    if (e.refused || torch::GradMode::is_enabled() || ++e.calls == 1)
      return network(x, time, condition);  // the first call also picks the libraries' algorithms
    if (!e.graph) {
      e.graph = std::make_unique<CudaGraph>(device);
      e.x = x.clone(), e.time = time.clone();
      if (condition.defined()) e.condition = condition.clone();
      torch::cuda::synchronize(device.index());
      if (!e.graph->record([&] { e.out = network(e.x, e.time, e.condition); })) {
        e = Evaluation();
        e.refused = true;
        return network(x, time, condition);
      }
    }
    e.x.copy_(x);
    e.time.copy_(time);
    if (condition.defined()) e.condition.copy_(condition);
    e.graph->replay();
    return e.out.clone();
  };
}

}  // namespace uvic::app
