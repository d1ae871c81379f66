#include "app/bench/network.h"

#include <fmt/format.h>
#include <torch/cuda.h>

#include <numeric>
#include <stdexcept>
#include <utility>

#include "app/sampling/generate.h"
#include "app/training/cost_estimate.h"
#include "app/training/ema.h"
#include "app/training/step.h"
#include "app/training/trainer.h"
#include "base/check.h"
#include "base/precision.h"

namespace uvic::app {
void wait_for(torch::Device device) {
  if (device.is_cuda()) torch::cuda::synchronize();
}

BenchNetwork::BenchNetwork(std::string name, const RunConfig& options, torch::Device device)
    : name_(std::move(name)),
      options_(at_beginning(options)),
      device_(device),
      dtype_(base::compute_dtype(base::resolve_precision(options.precision, device))),
      state_(std::make_unique<TrainState>(options_, device)) {
  if (options.route_share > 0 && options.route_images > 0)
    note_ =
        fmt::format("{}: every step is one before route_images {}, with the bypass of route_share",
                    name_,
                    options.route_images);
  const auto input = options_.model.input();
  base::require(!input.takes_tokens(),
                "{}: a network of sequences; uvic bench measures networks of images",
                name_);
  state_->model->set_compute_dtype(dtype_);
  state_->ema->set_compute_dtype(dtype_);
  state_->ema->eval();
  const int64_t batch = options_.batch_size, size = input.size;
  x_ = torch::randn({batch, input.channels, size, size}).to(device);
  times_ = torch::rand({batch}).mul_(999).to(device);
  if (input.takes_classes())
    condition_ = torch::randint(0, input.num_classes, {batch}, torch::kInt64).to(device);
  else if (input.takes_context())
    condition_ = torch::randn({batch, input.context_tokens, input.context_dim}).to(device);
  ObjectiveInputs inputs;
  if (input.takes_context()) inputs.empty_context = torch::zeros_like(condition_[0]);
  objective_ = make_objective(options_, with_state(inputs, *state_));
  on_gpu_ = make_cuda_step(options_, *objective_, *state_);
  batch_ = {options_.encoders.is_latent()
                ? torch::randn({batch, 2 * input.channels, size, size})
                : torch::randint(0, 256, {batch, input.channels, size, size}, torch::kUInt8),
            input.takes_classes() ? condition_.cpu() : torch::full({batch}, -1, torch::kInt64),
            torch::arange(batch, torch::kInt64)};
  if (input.takes_context()) batch_.contexts = condition_.cpu();
  batch_.other_images = batch_.images, batch_.other_labels = batch_.labels;
}

void BenchNetwork::training_step() {
  OptimizerStep update;
  update.lr = learning_rate(options_.optimizer, state_->images_seen, options_.total_images);
  state_->images_seen += options_.batch_size;
  update.number = ++state_->step;
  update.ema_decay = app::ema_decay(
      options_.ema_decay, options_.ema_rampup, state_->images_seen, options_.batch_size);
  if (on_gpu_) {
    on_gpu_->run(batch_, update);
  } else {
    add_gradients(*objective_,
                  *state_->model,
                  state_->parameters,
                  batch_.to(device_),
                  {options_.accumulate, options_.shards});
    state_->optimizer->step(update);
  }
  state_->update_power_averages(options_.batch_size);
  wait_for(device_);
}

void BenchNetwork::evaluate() {
  const c10::InferenceMode inference;
  state_->ema->forward(x_, times_, condition_);
  wait_for(device_);
}

void BenchNetwork::generate(int64_t evaluations) {
  GenerationSettings settings;
  settings.diffusion = options_.diffusion;
  settings.sampler.steps = evaluations;
  GenerationRequest request;
  request.seeds.resize(static_cast<size_t>(options_.batch_size));
  std::iota(request.seeds.begin(), request.seeds.end(), uint64_t{0});
  const auto input = options_.model.input();
  if (input.takes_classes()) request.labels.assign(request.seeds.size(), 0);
  if (input.takes_context()) request.contexts = condition_;
  app::generate(*state_->ema, settings, request);
}

}  // namespace uvic::app
