#include "app/training/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <stdexcept>

#include "app/training/adamw.h"
#include "app/training/cuda_step.h"
#include "app/training/ema.h"
#include "app/training/shards.h"
#include "app/training/snapshots.h"
#include "app/training/step_inputs.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/text_format.h"
#include "data/loader.h"
#include "diffusion/objective.h"

namespace uvic::app {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Adds the gradient of the batch's loss to the parameters', part by part; returns the loss.
double add_batch_gradients(const RunConfig& options,
                           const diffusion::NoiseSchedule& schedule,
                           const data::Batch& batch,
                           TrainState& state) {
  const auto device = state.parameters.front().device();
  const auto images = batch.images.to(device, /*non_blocking=*/true).chunk(options.accumulate),
             labels = batch.labels.to(device, /*non_blocking=*/true).chunk(options.accumulate);
  const auto generator = step_generator(options.seed, state.images_seen, device);
  const int64_t parameters = model::parameter_count(options.model);
  double loss = 0;
  for (size_t part = 0; part < images.size(); ++part) {
    const auto x0 = to_unit_range(images[part]);  // [B, 3, S, S]
    const auto example =
        diffusion::make_training_example(options.diffusion, schedule, x0, generator);
    const double share =
        static_cast<double>(x0.size(0)) / static_cast<double>(batch.images.size(0));
    loss += add_gradients(state.model,
                          state.parameters,
                          example,
                          condition(options, labels[part], generator),
                          share,
                          choose_shards(options.shards, x0.size(0), parameters, device));
  }
  return loss;
}

void require_finite(double loss, int64_t images_seen, const RunDir& run) {
  if (std::isfinite(loss)) return;
  throw std::runtime_error(
      fmt::format("{}: the loss is {} after {} images; lower optimizer.lr, set "
                  "optimizer.grad_clip or use --precision fp32",
                  run.path().string(),
                  loss,
                  images_seen));
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

void log_progress(const RunConfig& options,
                  const TrainState& state,
                  const RunDir& run,
                  double lr,
                  Window& window) {
  const double rate = static_cast<double>(window.images) / seconds_since(window.start);
  const double loss = window.loss_sum / static_cast<double>(window.steps);
  const double norm = window.norm_sum / static_cast<double>(window.steps);
  const double memory = base::resident_mib();
  run.log(fmt::format(
      "{:>9} of {} images  loss {:.4f}  {:.1f} images/s  ETA {}  {:.0f} MiB",
      state.images_seen,
      options.total_images,
      loss,
      rate,
      base::duration_text(static_cast<double>(options.total_images - state.images_seen) / rate),
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

MissingSnapshots missing_snapshots(const RunConfig& options,
                                   const TrainState& state,
                                   const RunDir& run) {
  const int64_t seen = state.images_seen, before = std::max<int64_t>(0, seen - options.batch_size);
  const auto due = [&](int64_t interval) {
    return seen > 0 && interval > 0 &&
           (seen >= options.total_images || crosses(interval, before, seen));
  };
  MissingSnapshots missing;
  missing.grid = due(options.grid_images) && !std::filesystem::exists(run.grid(seen));
  missing.score = due(options.score_images);
  if (!missing.score) return missing;
  for (const auto& line : run.read_stats())
    if (line["images_seen"] == seen && line.contains("distance")) missing.score = false;
  return missing;
}

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

void train(const RunConfig& options,
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
  const auto dtype = base::compute_dtype(base::resolve_precision(options.precision, device));
  state.model->set_compute_dtype(dtype);
  state.ema->set_compute_dtype(dtype);
  state.model->train();
  state.ema->eval();
  const auto on_gpu = make_cuda_step(options, *schedule, state);

  Snapshots snapshots(options, dataset, state, run);
  const double elapsed_before = state.elapsed_sec;
  double aside_sec = 0;  // grids, scores and checkpoints are not training time
  const auto start = Clock::now();
  Window window;

  int64_t saved_at = state.images_seen;
  const auto save = [&] {
    snapshots.save();
    saved_at = state.images_seen;
  };
  const auto pause_for = [&](auto&& work) {  // not training time
    const auto aside = Clock::now();
    work();
    aside_sec += seconds_since(aside);
    window.start += std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(seconds_since(aside)));
  };
  bool between_steps = true;
  const auto missing = missing_snapshots(options, state, run);
  try {
    pause_for([&] {
      if (missing.grid) snapshots.draw_grid();
      if (missing.score && !base::stop_requested()) snapshots.score();
    });
    while (state.images_seen < options.total_images && !base::stop_requested()) {
      const auto batch = loader.next();
      between_steps = false;
      const int64_t images_before = state.images_seen, images = batch.images.size(0);
      const double lr = learning_rate(options.optimizer, images_before, options.total_images);
      const double ema_decay = app::ema_decay(
          options.ema_decay, options.ema_rampup, images_before + images, options.batch_size);
      if (on_gpu) {
        ++state.step;
        on_gpu->run(batch, lr, ema_decay);
      } else {
        const double loss = add_batch_gradients(options, *schedule, batch, state);
        require_finite(loss, images_before, run);
        ++state.step;
        window.norm_sum += optimizer_step(options.optimizer, lr, ema_decay, state);
        window.loss_sum += loss;
      }
      state.images_seen += images;
      window.images += images;
      ++window.steps;
      state.elapsed_sec = elapsed_before + seconds_since(start) - aside_sec;

      const bool last = state.images_seen >= options.total_images || base::stop_requested();
      const auto crosses_or_ends = [&](int64_t interval) {
        return interval > 0 && (last || crosses(interval, images_before, state.images_seen));
      };
      const bool logs = last || crosses_or_ends(options.log_images);
      const bool pauses = last || crosses_or_ends(options.checkpoint_images) ||
                          crosses_or_ends(options.grid_images) ||
                          crosses_or_ends(options.score_images);
      if (on_gpu && (logs || pauses)) {  // the host waits for the steps under way here alone
        const auto totals = on_gpu->take();
        require_finite(totals.loss + totals.norm, state.images_seen, run);
        window.loss_sum += totals.loss;
        window.norm_sum += totals.norm;
        if (const auto note = on_gpu->note(); !note.empty()) run.log(note);
      }
      between_steps = true;
      if (logs) log_progress(options, state, run, lr, window);
      pause_for([&] {
        if (last || crosses(options.checkpoint_images, images_before, state.images_seen)) save();
        if (!base::stop_requested() && crosses_or_ends(options.grid_images)) snapshots.draw_grid();
        if (!base::stop_requested() && crosses_or_ends(options.score_images)) snapshots.score();
      });
    }
  } catch (...) {
    // A picture that can't be decoded, a grid that can't be written: the steps so far are sound. An
    // error inside a step leaves the last checkpoint.
    if (between_steps && state.images_seen != saved_at) {
      save();
      run.log(fmt::format("saved at {} images", state.images_seen));
    }
    throw;
  }
  if (state.images_seen != saved_at) save();  // stopped while a grid or a score was made
}

}  // namespace uvic::app
