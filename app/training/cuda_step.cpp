#include "app/training/cuda_step.h"

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>
#include <fmt/format.h>

#include <mutex>

#include "app/sampling/cuda_graph.h"
#include "app/training/step_inputs.h"
#include "diffusion/objective.h"
#include "model/kernels/cuda/optimizer_cuda_binding.h"

namespace uvic::app {
namespace {

// The libraries choose their algorithms and take their workspaces in these.
constexpr int64_t kLooseSteps = 3;

class RecordedStep : public CudaStep {
 public:
  RecordedStep(const RunConfig& options,
               const diffusion::NoiseSchedule& schedule,
               TrainState& state,
               const std::vector<model::AdamwTensors>& tensors)
      : options_(options),
        schedule_(schedule),
        state_(state),
        device_(state.parameters.front().device()),
        generator_(at::globalContext().defaultGenerator(device_)),
        optimizer_(tensors),
        graph_(device_),
        totals_(torch::zeros({2}, torch::dtype(torch::kFloat32).device(device_))) {}

  void run(const data::Batch& batch, double lr, double ema_decay) override {
    stage(batch);
    {
      const std::lock_guard<std::mutex> lock(generator_.mutex());
      generator_.set_current_seed(step_seed(options_.seed, state_.images_seen));
    }
    model::AdamwStep step;
    step.lr = lr, step.beta1 = options_.optimizer.beta1, step.beta2 = options_.optimizer.beta2;
    step.epsilon = options_.optimizer.eps, step.weight_decay = options_.optimizer.weight_decay;
    step.step = state_.step, step.ema_decay = ema_decay;
    optimizer_.set_values(step, options_.optimizer.grad_clip);

    if (!graph_.recorded() && !refused_ && ++loose_steps_ > kLooseSteps) record();
    if (graph_.recorded()) return graph_.replay();
    graph_.run([&] {
      optimizer_.set_gradients(gradients());
      finish();
    });
  }

  Totals take() override {
    const auto sums = totals_.cpu();
    totals_.zero_();
    return {sums[0].item<double>(), sums[1].item<double>()};
  }

  std::string note() override { return std::exchange(note_, ""); }

 private:
  /// The batch into images_ and labels_, which keep their place: the graph reads them there. The
  /// copy waits for steps under way on the GPU, the host for nothing.
  void stage(const data::Batch& batch) {
    const auto copy = [&](torch::Tensor& to, const torch::Tensor& from) {
      if (!to.defined()) to = torch::empty_like(from, from.options().device(device_));
      to.copy_(from.pin_memory(), /*non_blocking=*/true);
    };
    copy(images_, batch.images);
    copy(labels_, batch.labels);
  }

  void record() {
    // The graph has memory of its own; what the steps before it used would stay beside it, unused.
    c10::cuda::CUDACachingAllocator::emptyCache();
    std::vector<torch::Tensor> recorded;
    const bool good = graph_.record([&] {
      recorded = gradients();
      finish();
    });
    if (good) optimizer_.set_gradients(recorded);  // which keeps them where the graph writes them
    refused_ = !good;
    note_ = good ? "each step is one recorded CUDA graph"
                 : fmt::format("steps run launch by launch: {}", graph_.error());
  }

  /// Loss and gradients of images_ and labels_; the loss stays in loss_.
  std::vector<torch::Tensor> gradients() {
    std::vector<torch::Tensor> sum;
    loss_ = torch::Tensor();
    const auto images = images_.chunk(options_.accumulate);
    const auto labels = labels_.chunk(options_.accumulate);
    for (size_t part = 0; part < images.size(); ++part) {
      const auto example = diffusion::make_training_example(
          options_.diffusion, schedule_, to_unit_range(images[part]), generator_);
      const double share =
          static_cast<double>(images[part].size(0)) / static_cast<double>(images_.size(0));
      const auto prediction = state_.model->forward(
          example.x_t, example.network_time, condition(options_, labels[part], generator_));
      const auto loss = diffusion::diffusion_loss(prediction, example) * share;
      const auto grads = torch::autograd::grad({loss},
                                               state_.parameters,
                                               /*grad_outputs=*/{},
                                               /*retain_graph=*/false,
                                               /*create_graph=*/false,
                                               /*allow_unused=*/true);
      loss_ = loss_.defined() ? loss_ + loss.detach() : loss.detach();
      if (sum.empty()) {
        sum = grads;
        continue;
      }
      for (size_t i = 0; i < sum.size(); ++i)
        if (grads[i].defined()) sum[i] = sum[i].defined() ? sum[i].add_(grads[i]) : grads[i];
    }
    for (auto& g : sum)
      if (g.defined()) g = g.to(torch::kFloat32).contiguous();
    return sum;
  }

  void finish() {
    optimizer_.launch();
    const torch::NoGradGuard no_grad;
    totals_.add_(torch::stack({loss_.to(torch::kFloat32), optimizer_.norm()[0]}));
  }

  const RunConfig options_;
  const diffusion::NoiseSchedule& schedule_;
  TrainState& state_;
  torch::Device device_;
  at::Generator generator_;
  model::CudaAdamw optimizer_;
  CudaGraph graph_;
  torch::Tensor totals_, images_, labels_, loss_;
  int64_t loose_steps_ = 0;
  bool refused_ = false;
  std::string note_;
};

}  // namespace

std::unique_ptr<CudaStep> make_cuda_step(const RunConfig& options,
                                         const diffusion::NoiseSchedule& schedule,
                                         TrainState& state) {
  if (!state.parameters.front().is_cuda()) return nullptr;
  std::vector<model::AdamwTensors> tensors;
  for (size_t i = 0; i < state.parameters.size(); ++i)
    tensors.push_back({state.parameters[i].detach(),
                       {},
                       state.exp_avg[i],
                       state.exp_avg_sq[i],
                       state.averages[i].detach(),
                       {}});
  if (!model::cuda_adamw_serves(tensors)) return nullptr;
  return std::make_unique<RecordedStep>(options, schedule, state, tensors);
}

}  // namespace uvic::app
