#include "app/bench/network.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/cuda.h>

#include <numeric>
#include <utility>

#include "app/sampling/draw.h"
#include "app/training/adamw.h"
#include "app/training/ema.h"
#include "app/training/shards.h"
#include "app/training/trainer.h"
#include "base/precision.h"
#include "diffusion/objective.h"

namespace uvic::app {

void wait_for(torch::Device device) {
  if (device.is_cuda()) torch::cuda::synchronize();
}

BenchNetwork::BenchNetwork(std::string name, const RunConfig& options, torch::Device device)
    : name_(std::move(name)),
      options_(options),
      device_(device),
      dtype_(base::compute_dtype(base::resolve_precision(options.precision, device))),
      state_(std::make_unique<TrainState>(options.model, 0, device)),
      schedule_(diffusion::make_noise_schedule(options.diffusion)),
      generator_(device.is_cuda() ? at::globalContext().defaultGenerator(device).clone()
                                  : at::make_generator<at::CPUGeneratorImpl>()) {
  const auto& model = options_.model;
  state_->model->set_compute_dtype(dtype_);
  state_->ema->set_compute_dtype(dtype_);
  state_->ema->eval();
  const int64_t batch = options_.batch_size, size = model.img_size;
  pictures_ = torch::randint(0, 256, {batch, model.in_chans, size, size}, torch::kUInt8).to(device);
  x_ = torch::randn({batch, model.in_chans, size, size}).to(device);
  times_ = torch::rand({batch}).mul_(999).to(device);
  if (model.num_classes > 0)
    condition_ = torch::randint(0, model.num_classes, {batch}, torch::kInt64).to(device);
  else if (model.clip_dim > 0)
    condition_ = torch::randn({batch, model.num_clip_token, model.clip_dim}).to(device);
  if (model.clip_dim > 0) return;
  on_gpu_ = make_cuda_step(options_, *schedule_, *state_);
  batch_ = {pictures_.cpu(),
            condition_.defined() ? condition_.cpu() : torch::full({batch}, -1, torch::kInt64)};
}

void BenchNetwork::training_step() {
  if (on_gpu_) {
    ++state_->step;
    on_gpu_->run(
        batch_,
        learning_rate(options_.optimizer, state_->images_seen, options_.total_images),
        app::ema_decay(
            options_.ema_decay, options_.ema_rampup, state_->images_seen, options_.batch_size));
    state_->images_seen += options_.batch_size;
    return wait_for(device_);
  }
  const auto x0 = pictures_.to(torch::kFloat32).mul(1 / 127.5).sub(1);  // [B, C, S, S] in [-1, 1]
  const auto example =
      diffusion::make_training_example(options_.diffusion, *schedule_, x0, generator_);
  add_gradients(
      state_->model,
      state_->parameters,
      example,
      condition_,
      1,
      choose_shards(options_.shards, x0.size(0), model::parameter_count(options_.model), device_));
  state_->images_seen += x0.size(0);
  ++state_->step;
  optimizer_step(
      options_.optimizer,
      learning_rate(options_.optimizer, state_->images_seen, options_.total_images),
      app::ema_decay(
          options_.ema_decay, options_.ema_rampup, state_->images_seen, options_.batch_size),
      *state_);
  wait_for(device_);
}

void BenchNetwork::evaluate() {
  const c10::InferenceMode inference;
  state_->ema->forward(x_, times_, condition_);
  wait_for(device_);
}

void BenchNetwork::draw(int64_t evaluations) {
  DrawSettings settings;
  settings.diffusion = options_.diffusion;
  settings.sampler.steps = evaluations;
  std::vector<uint64_t> seeds(static_cast<size_t>(options_.batch_size));
  std::iota(seeds.begin(), seeds.end(), uint64_t{0});
  std::vector<int64_t> labels;
  if (options_.model.num_classes > 0) labels.assign(seeds.size(), 0);
  app::draw(state_->ema, settings, seeds, labels);
}

}  // namespace uvic::app
