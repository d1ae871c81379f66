#include "app/trainer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "app/human.h"
#include "app/optimizer.h"
#include "app/precision.h"
#include "app/runtime.h"
#include "app/shards.h"
#include "app/snapshots.h"
#include "data/loader.h"
#include "data/random.h"
#include "diffusion/objective.h"
#include "model/ema.h"

namespace uvic::app {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// One stream of times, noise and dropout for each (seed, images seen): a resumed run needs no
// generator state.
at::Generator step_generator(int64_t seed, int64_t images_seen, torch::Device device) {
  auto generator = device.is_cuda() ? at::globalContext().defaultGenerator(device).clone()
                                    : at::make_generator<at::CPUGeneratorImpl>();
  generator.set_current_seed(
      data::hash2(static_cast<uint64_t>(seed), static_cast<uint64_t>(images_seen)));
  return generator;
}

// Labels as the network takes them: undefined if it takes none, the null class where dropout
// strikes.
torch::Tensor condition(const TrainOptions& options,
                        torch::Tensor labels,
                        at::Generator generator) {
  if (options.model.num_classes <= 0) return {};
  if (options.label_dropout <= 0) return labels;
  const auto chance =
      torch::rand(labels.sizes(), generator, labels.options().dtype(torch::kFloat32));
  return torch::where(chance < options.label_dropout,
                      torch::full_like(labels, options.model.num_classes - 1),
                      labels);
}

// What a log line tells of the images since the last.
struct Window {
  double loss_sum = 0, norm_sum = 0;
  int64_t steps = 0, images = 0;
  Clock::time_point start = Clock::now();
};

bool crosses(int64_t interval, int64_t before, int64_t after) {
  return interval > 0 && before / interval != after / interval;
}

void log_progress(const TrainOptions& options,
                  const TrainState& state,
                  const RunDir& run,
                  double lr,
                  Window& window) {
  const double rate = static_cast<double>(window.images) / seconds_since(window.start);
  const double loss = window.loss_sum / static_cast<double>(window.steps);
  const double norm = window.norm_sum / static_cast<double>(window.steps);
  const double memory = resident_mib();
  run.log(fmt::format(
      "{:>9} of {} images  loss {:.4f}  {:.1f} images/s  ETA {}  {:.0f} MiB",
      state.images_seen,
      options.total_images,
      loss,
      rate,
      duration_text(static_cast<double>(options.total_images - state.images_seen) / rate),
      memory));
  run.append_stats({{"images_seen", state.images_seen},
                    {"step", state.step},
                    {"loss", loss},
                    {"lr", lr},
                    {"grad_norm", norm},
                    {"images_per_sec", rate},
                    {"elapsed_sec", state.elapsed_sec},
                    {"memory_mib", memory}});
  window = {};
}

}  // namespace

double learning_rate(const OptimizerConfig& config, int64_t images_seen, int64_t total_images) {
  if (images_seen < config.warmup_images)
    return config.lr * static_cast<double>(images_seen) / static_cast<double>(config.warmup_images);
  const auto rest = static_cast<double>(total_images - images_seen);
  const auto left = std::clamp(
      rest / static_cast<double>(std::max<int64_t>(1, total_images - config.warmup_images)),
      0.0,
      1.0);
  if (config.lr_decay == "linear") return config.lr * left;
  if (config.lr_decay == "cosine") return config.lr * 0.5 * (1 - std::cos(M_PI * left));
  return config.lr;
}

void train(const TrainOptions& options,
           const data::Dataset& dataset,
           TrainState& state,
           const RunDir& run) {
  const auto device = state.parameters.front().device();
  const auto schedule = diffusion::make_noise_schedule(options.diffusion);
  data::LoaderOptions order;
  order.batch_size = options.batch_size;
  order.seed = static_cast<uint64_t>(options.seed);
  order.flip = options.flip;
  order.workers = options.workers;
  data::Loader loader(dataset, order, state.images_seen);
  const int64_t parameters = model::parameter_count(options.model);
  const auto dtype = compute_dtype(resolve_precision(options.precision, device));
  state.model->set_compute_dtype(dtype);
  state.ema->set_compute_dtype(dtype);
  state.model->train();
  state.ema->eval();

  Snapshots snapshots(options, dataset, state, run);
  const double elapsed_before = state.elapsed_sec;
  double aside_sec = 0;  // grids, scores and checkpoints are not training time
  const auto start = Clock::now();
  Window window;

  while (state.images_seen < options.total_images && !stop_requested()) {
    const auto batch = loader.next();
    const auto images = batch.images.to(device, /*non_blocking=*/true);
    const auto labels = batch.labels.to(device, /*non_blocking=*/true);
    const auto generator = step_generator(options.seed, state.images_seen, device);

    double loss_sum = 0;
    const auto image_parts = images.chunk(options.accumulate),
               label_parts = labels.chunk(options.accumulate);
    for (size_t part = 0; part < image_parts.size(); ++part) {
      const auto x0 =
          image_parts[part].to(torch::kFloat32).mul(1 / 127.5).sub(1);  // [B, 3, S, S] in [-1, 1]
      const auto example =
          diffusion::make_training_example(options.diffusion, *schedule, x0, generator);
      const double share = static_cast<double>(x0.size(0)) / static_cast<double>(images.size(0));
      loss_sum += add_gradients(state.model,
                                state.parameters,
                                example,
                                condition(options, label_parts[part], generator),
                                share,
                                choose_shards(options.shards, x0.size(0), parameters, device));
    }
    if (!std::isfinite(loss_sum))
      throw std::runtime_error(
          fmt::format("{}: the loss is {} after {} images; lower optimizer.lr, set "
                      "optimizer.grad_clip or use --precision fp32",
                      run.path().string(),
                      loss_sum,
                      state.images_seen));

    const double lr = learning_rate(options.optimizer, state.images_seen, options.total_images);
    const int64_t images_before = state.images_seen;
    state.images_seen += images.size(0);
    ++state.step;
    window.norm_sum += optimizer_step(
        options.optimizer,
        lr,
        model::ema_decay(
            options.ema_decay, options.ema_rampup, state.images_seen, options.batch_size),
        state);
    window.loss_sum += loss_sum;
    window.images += images.size(0);
    ++window.steps;
    state.elapsed_sec = elapsed_before + seconds_since(start) - aside_sec;

    const bool last = state.images_seen >= options.total_images || stop_requested();
    if (last || crosses(options.log_images, images_before, state.images_seen))
      log_progress(options, state, run, lr, window);
    const auto crosses_or_ends = [&](int64_t interval) {
      return interval > 0 && (last || crosses(interval, images_before, state.images_seen));
    };
    const auto aside = Clock::now();
    if (last || crosses(options.checkpoint_images, images_before, state.images_seen))
      snapshots.save();
    if (!stop_requested() && crosses_or_ends(options.grid_images)) snapshots.draw_grid();
    if (!stop_requested() && crosses_or_ends(options.score_images)) snapshots.score();
    aside_sec += seconds_since(aside);
    window.start += std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(seconds_since(aside)));
  }
}

}  // namespace uvic::app
