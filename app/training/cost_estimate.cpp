#include "app/training/cost_estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "app/runs/keep_rule.h"
#include "app/runs/latent_space.h"
#include "app/runs/power_profile.h"
#include "app/scoring/extractors.h"
#include "app/training/memory_estimate.h"
#include "app/training/objective.h"
#include "app/training/optimizer.h"
#include "app/training/step.h"
#include "app/training/train_state.h"
#include "base/clock.h"
#include "base/precision.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

constexpr int64_t kImages = 16;  // a few of every shard, whatever the batch
constexpr double kFloatBytes = 4;
constexpr double kPngShare = 0.75;  // of the bytes of the pixels, as of photographs

/// Of an image as the network makes them, with a pass of the extractor on every thread.
double features_sec(const RunConfig& config, torch::Device device) {
  const auto extractor = open_extractor({config.score_extractor, {}, config.inception}, device);
  const auto images = extractor->images_in_pass() * (device.is_cpu() ? at::get_num_threads() : 1);
  const auto side = image_size_of(config.encoders, config.model.input());
  const auto generator = at::detail::createCPUGenerator(/*seed=*/0);
  const auto noise =
      torch::randint(256, {images, 3, side, side}, generator, torch::kInt64).to(torch::kUInt8);
  return base::second_call_sec([&] { extractor->extract(noise); }) / static_cast<double>(images);
}

/// How often something is due between two counts of images: at each multiple of `interval`, and at
/// the end.
int64_t times_due(int64_t interval, int64_t from, int64_t to) {
  if (interval <= 0 || to <= from) return 0;
  const int64_t crossings = to / interval - from / interval;
  return crossings + (to % interval ? 1 : 0);
}

/// Memory that can be taken without swapping; 0 where the system does not say.
double free_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  double kib = 0;
  for (std::string unit; file >> name >> kib;) {
    if (name == "MemAvailable:") return kib * 1024;
    std::getline(file, unit);
  }
  return 0;
}

/// How many images a trial may take; 0: none.
int64_t images_of_trial(RunConfig config, torch::Device device) {
  constexpr double kMostFlop = 5e12;
  const double of_one = 2 * 3 * model::forward_flops(config.model);
  const int64_t together = config.kept_together();
  const auto most = std::min(
      {std::max(kImages, together), config.batch_size, static_cast<int64_t>(kMostFlop / of_one)});
  const int64_t images = most / together * together;
  if (images < 1 || device.is_cuda()) return std::max<int64_t>(images, 0);
  config.batch_size = images;
  config.accumulate = 1;
  return estimate_memory(config, device, 1).at_most() < free_bytes() / 2 ? images : 0;
}

}  // namespace

RunConfig at_beginning(RunConfig config) {
  config.route_images = 0;
  return config;
}

double training_flops(const RunConfig& config, bool routed) {
  model::PartialPass pass;
  if (routed) pass = {1 - config.route_share, config.route_margin};
  return 3 * model::forward_flops(config.model, pass) + alignment_flops(config);
}

double training_flops(const RunConfig& config) {
  const auto routed = config.routed_examples(0, config.total_images);
  double flops = static_cast<double>(config.total_images - routed) * training_flops(config, false);
  if (routed > 0) flops += static_cast<double>(routed) * training_flops(config, true);
  return flops;
}

std::optional<ImageCost> measure_cost(const RunConfig& given, torch::Device device, bool scores) {
  const auto config = at_beginning(given);
  const int64_t images = images_of_trial(config, device);
  if (images == 0) return std::nullopt;
  TrainState state(config, device);
  const auto dtype = base::compute_dtype(base::resolve_precision(config.precision, device));
  state.model->set_compute_dtype(dtype);
  state.ema->set_compute_dtype(dtype);
  state.ema->eval();
  ObjectiveInputs inputs;
  if (const auto input = config.model.input(); input.takes_context())
    inputs.empty_context = torch::zeros({input.context_tokens, input.context_dim}).to(device);
  const auto objective = make_objective(config, with_state(inputs, state));
  const auto batch = objective->noise_batch(images).to(device);
  const auto synchronize = [&] {
    if (device.is_cuda()) state.parameters.front().sum().item<float>();
  };
  ImageCost cost;
  cost.training_sec =
      base::second_call_sec([&] {
        OptimizerStep update;
        update.number = state.step + 1;
        add_gradients(*objective, *state.model, state.parameters, batch, {1, config.shards});
        state.optimizer->step(update);
        state.images_seen += images;
        state.update_power_averages(images);
        synchronize();
      }) /
      static_cast<double>(images);
  cost.sampling_sec = objective->sampling_sec(*state.ema, images);
  if (!scores) return cost;
  cost.features_sec = config.is_of_sequences() ? base::second_call_sec([&] {
                                                   const torch::NoGradGuard no_grad;
                                                   state.ema->forward(batch.sequences, {}, {});
                                                   synchronize();
                                                 }) / static_cast<double>(images)
                                               : features_sec(config, device);
  return cost;
}

namespace {

/// The images that are left, counted in those that measure_cost() has trained: the first of a run.
double images_as_measured(const RunConfig& config, int64_t images_seen) {
  const int64_t left = std::max<int64_t>(0, config.total_images - images_seen),
                routed = config.routed_examples(images_seen, left);
  const bool as_routed = config.routed_examples(0, 1) > 0;
  const int64_t same = as_routed ? routed : left - routed;
  const auto others = static_cast<double>(left - same);
  if (others == 0) return static_cast<double>(left);
  return static_cast<double>(same) +
         others * training_flops(config, !as_routed) / training_flops(config, as_routed);
}

}  // namespace

RunCost& RunCost::operator+=(const RunCost& other) {
  training_sec += other.training_sec;
  grids_sec += other.grids_sec;
  scores_sec += other.scores_sec;
  samples_sec += other.samples_sec;
  features_sec += other.features_sec;
  disk_bytes += other.disk_bytes;
  is_of_sequences = is_of_sequences || other.is_of_sequences;
  return *this;
}

RunCost estimate_cost(const RunConfig& config,
                      const ImageCost& image,
                      int64_t images_seen,
                      int64_t samples,
                      int64_t others) {
  const int64_t end = config.total_images;
  const auto left = static_cast<double>(std::max<int64_t>(0, end - images_seen));
  const auto due = [&](int64_t interval) {
    return static_cast<double>(times_due(interval, images_seen, end));
  };
  RunCost cost;
  cost.is_of_sequences = config.is_of_sequences();
  cost.training_sec = images_as_measured(config, images_seen) * image.training_sec;
  cost.grids_sec =
      due(config.grid_images) * static_cast<double>(config.grid_count) * image.sampling_sec;
  cost.scores_sec = due(config.score_images) * static_cast<double>(config.score_count) *
                    (image.sampling_sec + image.features_sec);
  cost.samples_sec = static_cast<double>(samples) * image.sampling_sec;
  cost.features_sec = static_cast<double>(samples + others) * image.features_sec;

  const auto parameters = static_cast<double>(model::parameter_count(config.model));
  const auto widths = static_cast<double>(parse_widths(config.ema_power).size());
  const double state_numbers =
      2 + widths + optimizer_state_bytes(config) / kFloatBytes / parameters;
  double weights = due(config.checkpoint_images);
  if (const auto rule = parse_keep(config.keep); !rule.all)
    weights = std::min(weights,
                       1 + static_cast<double>(rule.best) +
                           (rule.every > 0 ? left / static_cast<double>(rule.every) : 0));
  const auto states = std::min(static_cast<double>(config.keep_states), std::max(1.0, weights));
  const auto side = config.is_of_sequences()
                        ? 0.0
                        : static_cast<double>(image_size_of(config.encoders, config.model.input()));
  const double image_bytes = kPngShare * 3 * side * side;  // sequences leave no images
  cost.disk_bytes =
      kFloatBytes * parameters *
          (states * state_numbers + weights + widths * due(config.checkpoint_images)) +
      image_bytes * (due(config.grid_images) * static_cast<double>(config.grid_count) +
                     static_cast<double>(samples));
  return cost;
}

std::string cost_text(const RunCost& cost) {
  std::string parts;
  const auto add = [&](const char* what, double seconds) {
    if (seconds > 0)
      parts +=
          fmt::format("{}{} {}", parts.empty() ? "" : ", ", what, base::duration_text(seconds));
  };
  add("training", cost.training_sec);
  add("grids", cost.grids_sec);
  add("scores during training", cost.scores_sec);
  add("samples", cost.samples_sec);
  add(cost.is_of_sequences ? "scores" : "features of scores", cost.features_sec);
  auto text = fmt::format("about {} on this machine as busy as it is now ({}); {}B on disk",
                          base::duration_text(cost.total_sec()),
                          parts,
                          base::si_number(cost.disk_bytes, 3));
  if (cost.training_sec > 0 && cost.scoring_sec() > cost.training_sec)
    text += fmt::format("; {} take longer than the training",
                        cost.is_of_sequences ? "scores" : "samples and scores");
  return text;
}

nlohmann::json cost_record(const RunCost& cost) {
  return {{"training_sec", cost.training_sec},
          {"grids_sec", cost.grids_sec},
          {"scores_during_training_sec", cost.scores_sec},
          {"samples_sec", cost.samples_sec},
          {"features_sec", cost.features_sec},
          {"total_sec", cost.total_sec()},
          {"disk_bytes", cost.disk_bytes}};
}

}  // namespace uvic::app
