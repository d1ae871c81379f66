#include "app/training/cuda_step.h"

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "app/sampling/cuda_graph.h"
#include "app/training/step.h"
#include "model/kernels/cuda/optimizer_cuda_binding.h"
#include "model/rate_factors.h"

namespace uvic::app {
namespace {

// The libraries choose their algorithms and take their workspaces in these.
constexpr int64_t kLooseSteps = 3;

class RecordedStep : public CudaStep {
 public:
  RecordedStep(const RunConfig& config,
               const Objective& objective,
               TrainState& state,
               GradientExchange* exchange,
               const std::vector<model::AdamwTensors>& tensors,
               const std::vector<bool>& own)
      : config_(config),
        objective_(objective),
        state_(state),
        exchange_(exchange),
        device_(state.model->device()),
        optimizer_(tensors, own),
        graph_(device_),
        totals_(torch::zeros({2}, torch::dtype(torch::kFloat32).device(device_))),
        terms_(torch::ones({}, totals_.options())) {}

  void run(const data::Batch& batch, const OptimizerStep& update) override {
    stage(batch);
    begin_anew_where_another();
    count_ = terms_of(batch);
    terms_.fill_(static_cast<double>(count_));
    model::AdamwStep step;
    step.lr = update.lr, step.beta1 = config_.optimizer.beta1;
    step.beta2 = config_.optimizer.beta2, step.epsilon = config_.optimizer.eps;
    step.weight_decay = config_.optimizer.weight_decay;
    step.step = update.number, step.ema_decay = update.ema_decay;
    optimizer_.set_values(step, config_.optimizer.grad_clip);

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
  /// The batch into batch_, whose tensors keep their place: the graph reads them there. The copy
  /// waits for steps under way on the GPU, the host for nothing.
  void stage(const data::Batch& batch) {
    const auto copy = [&](torch::Tensor& to, const torch::Tensor& from) {
      if (!from.defined()) return;
      if (!to.defined()) to = torch::empty_like(from, from.options().device(device_));
      to.copy_(from.is_cuda() ? from : from.pin_memory(), /*non_blocking=*/true);
    };
    copy(batch_.images, batch.images);
    copy(batch_.labels, batch.labels);
    copy(batch_.positions, batch.positions);
    copy(batch_.contexts, batch.contexts);
    copy(batch_.tokens, batch.tokens);
    copy(batch_.sequences, batch.sequences);
    copy(batch_.targets, batch.targets);
    copy(batch_.other_images, batch.other_images);
    copy(batch_.other_labels, batch.other_labels);
    copy(batch_.augments, batch.augments);
    batch_.first_position = batch.first();
  }

  /// All processes ask for the whole batch, and so begin anew in the same steps.
  void begin_anew_where_another() {
    const auto now = objective_.computation(state_.images_seen, config_.batch_size);
    if (now == std::exchange(computation_, now) || loose_steps_ == 0) return;
    if (graph_.recorded()) graph_.forget("another computation follows");
    loose_steps_ = 0;
    refused_ = false;
  }

  void record() {
    // The graph has memory of its own; what the steps before it used would stay allocated, unused.
    c10::cuda::CUDACachingAllocator::emptyCache();
    std::vector<torch::Tensor> recorded;
    bool good = graph_.record([&] {
      recorded = gradients();
      finish();
    });
    if (exchange_) {
      if (!good) exchange_->start_over();
      // Recorded in every process or in none, as the exchange asks.
      const auto other = exchange_->first_without(good);
      if (good && other >= 0) graph_.forget(fmt::format("rank {} can't record them", other));
      good = other < 0;
    }
    if (!good) {
      for (const auto& p : state_.parameters) torch::Tensor(p).mutable_grad() = torch::Tensor();
      refused_ = true;
      note_ = "steps run launch by launch: " + graph_.error();
      return;
    }
    optimizer_.set_gradients(recorded);  // which keeps them where the graph writes them
    note_ = "each step is one recorded CUDA graph";
    if (exchange_) note_ += ", with the exchanges between the processes in it";
  }

  /// The terms of the whole batch's loss, counted before it is on the GPU.
  int64_t terms_of(const data::Batch& slice) {
    const bool examples = objective_.counts_examples();
    const auto count = !exchange_ ? objective_.count(slice)
                       : examples ? config_.batch_size
                                  : exchange_->sum_of_counts(objective_.count(slice));
    return std::max<int64_t>(1, count);
  }

  /// A summed loss over the terms of the whole batch. Where their number is another in each step, it
  /// is read from the GPU's memory; else it is a constant of the recording.
  torch::Tensor mean(const torch::Tensor& loss) const {
    return objective_.counts_examples() ? loss / static_cast<double>(count_) : loss / terms_;
  }

  PartGradient part_of_mean(const data::Batch& part) {
    auto& network = *state_.model;
    return objective_.counts_examples()
               ? part_gradient(objective_, network, state_.parameters, part, count_)
               : part_gradient(objective_, network, state_.parameters, part, terms_);
  }

  StepLayout layout() const {
    return {config_.accumulate, /*shards=*/1, objective_.kept_together()};
  }

  /// Loss and gradients of batch_; the loss stays in loss_.
  std::vector<torch::Tensor> gradients() {
    return exchange_ ? gradients_of_all() : own_gradients();
  }

  /// The same of the whole batch. The buckets of the exchange are where the gradients stay.
  std::vector<torch::Tensor> gradients_of_all() {
    loss_ = torch::Tensor();
    int64_t left = batch_.size();
    for_each_part(batch_, layout(), [&](const data::Batch& part) {
      const auto loss = mean(objective_.loss(*state_.model, part));
      left -= part.size();
      if (left == 0) exchange_->send_during_backward();
      loss.backward();
      loss_ = loss_.defined() ? loss_ + loss.detach() : loss.detach();
    });
    exchange_->sum_gradients();
    const torch::NoGradGuard no_grad;
    loss_ = loss_.to(torch::kFloat32).clone();
    exchange_->sum(loss_);
    std::vector<torch::Tensor> sums;
    for (const auto& p : state_.parameters) {
      sums.push_back(p.grad());
      torch::Tensor(p).mutable_grad() = torch::Tensor();
    }
    return sums;
  }

  std::vector<torch::Tensor> own_gradients() {
    std::vector<torch::Tensor> sum;
    loss_ = torch::Tensor();
    for_each_part(batch_, layout(), [&](const data::Batch& part) {
      const auto one = part_of_mean(part);
      loss_ = loss_.defined() ? loss_ + one.loss : one.loss;
      if (sum.empty()) {
        sum = one.gradients;
        return;
      }
      for (size_t i = 0; i < sum.size(); ++i) {
        const auto& g = one.gradients[i];
        if (g.defined()) sum[i] = sum[i].defined() ? sum[i].add_(g) : g;
      }
    });
    for (auto& g : sum)
      if (g.defined()) g = g.to(torch::kFloat32).contiguous();
    return sum;
  }

  void finish() {
    optimizer_.launch();
    if (state_.shares) state_.shares->share_parameters();
    const torch::NoGradGuard no_grad;
    totals_.add_(torch::stack({loss_.to(torch::kFloat32), optimizer_.norm()[0]}));
  }

  const RunConfig config_;
  const Objective& objective_;
  TrainState& state_;
  GradientExchange* const exchange_;
  torch::Device device_;
  model::CudaAdamw optimizer_;
  CudaGraph graph_;
  data::Batch batch_;
  torch::Tensor totals_, terms_, loss_;
  int64_t loose_steps_ = 0, count_ = 1, computation_ = 0;
  bool refused_ = false;
  std::string note_;
};

}  // namespace

std::unique_ptr<CudaStep> make_cuda_step(const RunConfig& config,
                                         const Objective& objective,
                                         TrainState& state,
                                         GradientExchange* exchange) {
  if (!state.parameters.front().is_cuda() || config.optimizer.kind != "adamw") return nullptr;
  // The recorded optimizer has one rate.
  if (!model::rate_factors(config.model, state.names).empty()) return nullptr;
  const auto sets = state.optimizer->state();  // exp_avg, exp_avg_sq
  std::vector<model::AdamwTensors> tensors;
  for (size_t i = 0; i < state.parameters.size(); ++i)
    tensors.push_back({state.parameters[i].detach(),
                       {},
                       sets.at(0).tensors[i],
                       sets.at(1).tensors[i],
                       state.averages[i].detach(),
                       {}});
  const auto own = state.shares ? state.shares->own() : std::vector<bool>();
  if (!model::cuda_adamw_serves(tensors, own)) return nullptr;
  return std::make_unique<RecordedStep>(config, objective, state, exchange, tensors, own);
}

}  // namespace uvic::app
