#include "app/commands/train.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "app/options/options.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/runs/run_record.h"
#include "app/sampling/generate.h"
#include "app/scoring/score_tokens.h"
#include "app/training/fine_tune.h"
#include "app/training/image_snapshots.h"
#include "app/training/memory_estimate.h"
#include "app/training/objective.h"
#include "app/training/step.h"
#include "app/training/token_snapshots.h"
#include "app/training/train_state.h"
#include "app/training/trainer.h"
#include "app/training/training_data.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/tokens/token_loader.h"
#include "model/kernel_choice.h"

namespace uvic::app {
namespace {

std::unique_ptr<data::TokenSource> open_sequences(const RunConfig& options) {
  const auto input = options.model.input();
  auto source = data::open_token_source(
      options.data, options.tokens, {data::TokenSplit::kTrain, input.length, input.vocabulary});
  check_token_source(input, *source, options.data, /*allow_longer=*/false);
  return source;
}

std::string summary(const RunConfig& options) {
  return fmt::format("{} parameters, {:.3f} GFLOP {} forward, {} training",
                     model::parameter_count(options.model),
                     model::forward_flops(options.model) / 1e9,
                     options.is_of_sequences() ? "a sequence of full length" : "an image",
                     base::si_number(3 * model::forward_flops(options.model) *
                                     static_cast<double>(options.total_images)) +
                         "FLOP");
}

// How many shards a step has depends on the threads: after set_up_process().
MemoryEstimate memory_of(const RunConfig& options, torch::Device device) {
  const int64_t images = (options.batch_size + options.accumulate - 1) / options.accumulate;
  const auto shards =
      choose_shards(options.shards, images, model::parameter_count(options.model), device);
  return estimate_memory(options, device, shards);
}

/// Everything that a launch has opened.
struct Launch {
  RunConfig options;
  LaunchOptions flags;
  torch::Device device;
  const data::Examples& dataset;
  const ObjectiveInputs& inputs;
  RunDir& run;
  TrainState& state;
  const data::Dataset* images = nullptr;  ///< of the two, the one that `dataset` is
  const data::TokenSource* sequences = nullptr;
  RunIdentity identity = {};
  nlohmann::json changed = nlohmann::json::object();
  StartingPoint start = {};
};

nlohmann::json data_record(const Launch& launch) {
  return {{"source", launch.options.data},
          {"describe", launch.dataset.describe()},
          {"fingerprint", launch.dataset.fingerprint()},
          {"class_names", launch.dataset.class_names()}};
}

/// The run's own fields of run.json, and this launch's.
void record(const Launch& launch) {
  const auto& options = launch.options;
  const auto name = std::filesystem::absolute(options.out).lexically_normal();
  nlohmann::json first = {
      {"name", (name.has_filename() ? name : name.parent_path()).filename().string()},
      {"run_id", launch.identity.run_id},
      {"command", base::command_line()},
      {"version", UVIC_VERSION},
      {"libtorch", TORCH_VERSION},
      {"device", launch.device.str()},
      {"threads", at::get_num_threads()},
      {"precision", base::resolve_precision(options.precision, launch.device)},
      {"data", data_record(launch)},
      {"parameters", model::parameter_count(options.model)},
      {"forward_gflop_per_image", model::forward_flops(options.model) / 1e9},
      {"total_images", options.total_images},
      {"started", base::utc_now()}};
  if (!launch.start.record.is_null()) first["init"] = launch.start.record;
  const nlohmann::json entry = {
      {"id", launch.identity.lineage.back().launch},
      {"time", base::utc_now()},
      {"host", host_name()},
      {"command", base::command_line()},
      {"version", UVIC_VERSION},
      {"device", launch.device.str()},
      {"threads", at::get_num_threads()},
      {"precision", base::resolve_precision(options.precision, launch.device)},
      {"changed", launch.changed},
      {"from", launch.state.images_seen},
      {"to", launch.state.images_seen}};
  record_launch(launch.run, first, entry);
}

void check_same_data(Launch& launch, const std::string& trained_on) {
  const auto now = launch.dataset.fingerprint();
  if (trained_on.empty() || same_images(trained_on, now) ||
      data::is_same_data(launch.dataset, trained_on))
    return;
  base::require(launch.flags.allow_other_data,
                "{}: trained on other images than {}; choose another --out, or pass "
                "--allow_other_data to continue on them from here on",
                launch.options.out,
                launch.options.data);
  launch.changed["data_fingerprint"] = {trained_on, now};
  launch.run.log(fmt::format("note: the images are others from here on: {} was {}",
                             launch.dataset.describe(),
                             trained_on));
}

/// Loads the latest state into launch.state, after every check.
void resume(Launch& launch) {
  auto& options = launch.options;
  auto& run = launch.run;
  auto& state = launch.state;
  const auto latest = run.states().front().path;
  const auto saved = read_metadata(latest);
  RunConfig before;
  if (!read_own_config(saved, latest.string(), before)) before = read_run_config(run);
  const auto images = count_in(saved, "uvic.images_seen").value_or(0);
  auto check = check_resume(before, options, run, launch.device, images);
  launch.changed = std::move(check.changed);
  for (const auto& note : check.notes) run.log("note: " + note);
  if (options.init.empty())
    options.init = before.init, options.init_optimizer = before.init_optimizer;
  const auto fingerprint = saved.find("uvic.data_fingerprint");
  check_same_data(launch, fingerprint == saved.end() ? "" : fingerprint->second);
  state.load(latest);
  run.log(fmt::format("resumed at {} images", state.images_seen));
}

/// The state that training begins with: the run's, that of --init, or a fresh one.
void prepare(Launch& launch) {
  auto& run = launch.run;
  if (const auto back = launch.flags.resume_from; back > 0) {
    const auto folder = run.go_back_to(back);
    run.log(fmt::format("back at {} images{}",
                        back,
                        folder.empty() ? "" : "; what came after is in " + folder.string()));
  }
  launch.identity = check_run(run);
  if (!run.states().empty()) {
    resume(launch);
  } else if (!launch.options.init.empty()) {
    launch.start = start_from(launch.options, launch.dataset.class_names(), launch.state);
    launch.identity.init = launch.start.metadata;
    for (const auto& line : launch.start.lines) run.log(line);
  }
  auto& identity = launch.identity;
  if (identity.run_id.empty()) identity.run_id = random_id(16);
  if (!identity.lineage.empty() && identity.lineage.back().from == launch.state.images_seen)
    identity.lineage.pop_back();  // which trained nothing
  identity.lineage.push_back({random_id(8), launch.state.images_seen});
  run.set_run_id(identity.run_id);
}

/// Trains, or makes what an earlier launch left out; returns whether there was anything to do.
bool train_on(Launch& launch) {
  auto& [options,
         flags,
         device,
         dataset,
         inputs,
         run,
         state,
         images,
         sequences,
         identity,
         changed,
         start] = launch;
  run.truncate_stats(state.images_seen);
  const bool goes_on = state.images_seen < options.total_images;
  if (!goes_on && !missing_snapshots(options, state, run).any()) return false;
  record(launch);
  if (goes_on) formats::write_file_atomically(run.config(), to_toml(options));
  const auto objective = make_objective(options, inputs);
  if (sequences) {
    const TokenSnapshots snapshots(options, *sequences, state, run, identity);
    data::TokenLoader batches(
        *sequences, options.batch_size, static_cast<uint64_t>(options.seed), state.images_seen);
    train(options, batches, *objective, snapshots, state, run);
  } else {
    const ImageSnapshots snapshots(options, *images, inputs, state, run, identity);
    train(options, *images, *objective, snapshots, state, run);
  }
  record_images(run, state.images_seen);
  return true;
}

void log_end(const Launch& launch) {
  const auto& state = launch.state;
  if (const auto now = launch.run.path(); now != launch.options.out)
    launch.run.log(
        fmt::format("note: the folder was moved; from now on it is continued by \"uvic "
                    "train --out {}\"",
                    base::shell_word(now.string())));
  const bool finished = state.images_seen >= launch.options.total_images;
  launch.run.log(fmt::format(
      "{} at {} {} after {} of training: {}",
      finished ? "finished" : "stopped and saved",
      state.images_seen,
      launch.sequences ? "sequences" : "images",
      base::duration_text(state.elapsed_sec),
      finished ? launch.run.weights(state.images_seen).string() : "the same command continues"));
  if (launch.dataset.skipped() > 0)
    launch.run.log(
        fmt::format("{} files could not be decoded and were skipped", launch.dataset.skipped()));
}

}  // namespace

TrainResult run_train(const RunConfig& given, const LaunchOptions& flags) {
  auto options = given;
  options.encoders.override_with(given.encoders);  // absolute paths: a run keeps them
  options.validate();
  if (!options.is_of_sequences()) {
    GenerationSettings{options.diffusion, options.sample, options.guidance}.validate();
    check_grid(options);
  }
  if (options.memory) {
    base::set_up_process(options.threads);
    const torch::Device device(base::choose_device(options.device));
    fmt::print("{}", memory_text(memory_of(options, device)));
  }
  if (options.dry_run) {
    fmt::print("{}\n# {}\n", to_toml(options), summary(options));
    return {};
  }
  base::require(!options.out.empty(), "--out: needed, the folder of the run");
  base::require(!options.data.empty(),
                options.is_of_sequences()
                    ? "--data: needed; text, token arrays, or a task as \"nt\""
                    : "--data: needed; \"procedural\" is the embedded set");
  base::set_up_process(options.threads);
  model::use_fused_kernels(options.kernels == "fused");
  base::catch_stop_signals();
  const torch::Device device(base::choose_device(options.device));
  if (device.is_cpu()) refuse_too_large(memory_of(options, device), usable_memory());
  TrainingData images;
  std::unique_ptr<data::TokenSource> sequences;
  if (options.is_of_sequences())
    sequences = open_sequences(options);
  else
    images = open_training_data(options, device);
  const data::Examples* dataset = images.dataset.get();
  if (sequences) dataset = sequences.get();

  RunDir run(options.out);
  run.open_for_training();
  TrainState state(options.model, options.optimizer, static_cast<uint64_t>(options.seed), device);
  Launch launch{options,
                flags,
                device,
                *dataset,
                images.inputs,
                run,
                state,
                images.dataset.get(),
                sequences.get()};
  prepare(launch);
  run.log(fmt::format("{}: {}; {} threads, {}",
                      dataset->describe(),
                      summary(options),
                      at::get_num_threads(),
                      base::resolve_precision(options.precision, device)));
  if (options.encoders.is_latent() && !images.inputs.latent && options.grid_images > 0)
    run.log("no sample grids: the network works on latents; --autoencoder decodes them");
  train_on(launch);
  log_end(launch);
  return {state.images_seen, state.images_seen >= options.total_images, state.elapsed_sec};
}

RunConfig options_of_launch(const RunConfig& given, const CLI::App& command, bool config_is_named) {
  if (given.out.empty() || config_is_named) return given;
  const RunDir run(given.out);
  if (!run.is_run()) return given;
  auto options = read_run_config(run);
  apply_given(command, options);
  options.out = given.out;
  options.dry_run = given.dry_run;
  options.memory = given.memory;
  return options;
}

void add_train_command(CLI::App& app) {
  auto options = std::make_shared<RunConfig>();
  auto launch = std::make_shared<LaunchOptions>();
  options->dataset.image_size = 0;
  auto* command = app.add_subcommand(
      "train",
      "Train a U-ViT, a U-ViC or a language model; the same command, or --out alone, resumes");
  add_fields(*command, *options);
  add_fields(*command, *launch);
  command->callback([options, launch, command, &app] {
    const auto* config = app.get_config_ptr();
    base::check_fields(*launch);
    run_train(options_of_launch(*options, *command, config && config->count() > 0), *launch);
  });
}

}  // namespace uvic::app
