#include "app/commands/train.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "app/commands/launch_config.h"
#include "app/commands/train_plan.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/data_facts.h"
#include "app/runs/processes.h"
#include "app/runs/read_options.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/runs/run_record.h"
#include "app/runs/tensorboard_log.h"
#include "app/sampling/generate.h"
#include "app/training/fine_tune.h"
#include "app/training/image_snapshots.h"
#include "app/training/input_files.h"
#include "app/training/job.h"
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
#include "base/process_group.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/tokens/token_loader.h"
#include "model/kernel_choice.h"

namespace uvic::app {
namespace {

/// Everything that a launch has opened.
struct TrainLaunch {
  RunConfig options;
  LaunchOptions flags;
  torch::Device device;
  const data::Examples& dataset;
  const ObjectiveInputs& inputs;
  RunDir& run;
  TrainState& state;
  const data::Dataset* images = nullptr;  ///< of the two, the one that `dataset` is
  const data::TokenSource* sequences = nullptr;
  base::ProcessGroup* group = nullptr;
  RunIdentity identity = {};
  nlohmann::json changed = nlohmann::json::object();
  StartingPoint start = {};
};

nlohmann::json data_record(const TrainLaunch& launch) {
  return {{"source", launch.options.data},
          {"size", launch.images ? nlohmann::json(launch.images->size()) : nlohmann::json()},
          {"describe", launch.dataset.describe()},
          {"fingerprint", launch.dataset.fingerprint()},
          {"class_names", launch.dataset.class_names()}};
}

/// The run's own fields of run.json, and this launch's.
void record(const TrainLaunch& launch) {
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
  nlohmann::json entry = {{"id", launch.identity.lineage.back().launch},
                          {"time", base::utc_now()},
                          {"host", host_name()},
                          {"folder", std::filesystem::current_path().string()},
                          {"command", base::command_line()},
                          {"version", UVIC_VERSION},
                          {"device", launch.device.str()},
                          {"threads", at::get_num_threads()},
                          {"precision", base::resolve_precision(options.precision, launch.device)},
                          {"changed", launch.changed},
                          {"from", launch.state.images_seen},
                          {"to", launch.state.images_seen}};
  if (launch.group) {
    entry["processes"] = launch.group->size();
    entry["wire_precision"] = launch.flags.wire_precision;
    entry["sharded_optimizer"] = launch.state.shares != nullptr;
  }
  record_launch(launch.run, first, entry);
}

void check_same_data(TrainLaunch& launch, const std::string& trained_on) {
  const auto now = launch.dataset.fingerprint();
  if (trained_on.empty() || trained_on == now || data::is_same_data(launch.dataset, trained_on))
    return;
  const auto change = data_change(trained_on, now, launch.options);
  base::require(launch.flags.allow_other_data,
                "{}: was trained with {}; choose another --out or pass --allow_other_data",
                launch.options.out,
                change);
  launch.changed["data_fingerprint"] = {trained_on, now};
  launch.start.lines.push_back(
      fmt::format("note: so far the run was trained with {}; from here on with {}",
                  change,
                  launch.dataset.describe()));
}

/// Loads a state of the run into launch.state, after every check. The folder stays as it is.
void resume(TrainLaunch& launch, const std::filesystem::path& from) {
  auto& options = launch.options;
  const auto saved = read_metadata(from);
  RunConfig before;
  if (!read_own_config(saved, from.string(), before)) before = read_run_config(launch.run);
  const auto images = count_in(saved, "uvic.images_seen").value_or(0);
  auto check = check_resume(before, options, launch.run, launch.device, images);
  launch.changed = std::move(check.changed);
  launch.start = {};
  auto& lines = launch.start.lines;
  for (const auto& note : check.notes) lines.push_back("note: " + note);
  if (options.init.empty())
    options.init = before.init, options.init_optimizer = before.init_optimizer;
  const auto fingerprint = saved.find("uvic.data_fingerprint");
  check_same_data(launch, fingerprint == saved.end() ? "" : fingerprint->second);
  launch.state.load(from);
  lines.push_back(fmt::format("resumed at {} images", launch.state.images_seen));
  const auto processes = launch.group ? launch.group->size() : 1;
  for (auto& note : process_notes(launch.run, processes, launch.flags)) lines.push_back(note);
}

/// The state that training begins with: the run's, else that of launch.start or a fresh one.
void prepare(TrainLaunch& launch) {
  auto& run = launch.run;
  const auto states = run.states();
  const auto back = launch.flags.resume_from;
  const auto from = run.state_at(back > 0 || states.empty() ? back : states.front().images_seen);
  auto& identity = launch.identity;
  if (back == 0) identity = check_run(run);
  if (!from.empty()) resume(launch, from);
  if (back > 0) {  // not before it is known that the state fits
    const auto folder = run.go_back_to(back);
    run.log(fmt::format("back at {} images{}",
                        back,
                        folder.empty() ? "" : "; what came after is in " + folder.string()));
    identity = check_run(run);
  }
  if (from.empty()) identity.init = launch.start.metadata;
  if (identity.run_id.empty()) identity.run_id = random_id(16);
  if (!identity.lineage.empty() && identity.lineage.back().from == launch.state.images_seen)
    identity.lineage.pop_back();  // which trained nothing
  identity.lineage.push_back({random_id(8), launch.state.images_seen});
  run.set_run_id(identity.run_id);
}

/// Not before run.json exists: a log without it would be taken for the file of another program.
void log_begin(const TrainLaunch& launch) {
  const auto& options = launch.options;
  for (const auto& line : launch.start.lines) launch.run.log(line);
  launch.run.log(fmt::format("{}: {}; {} threads, {}",
                             launch.dataset.describe(),
                             training_summary(options),
                             at::get_num_threads(),
                             base::resolve_precision(options.precision, launch.device)));
  if (options.encoders.is_latent() && !launch.inputs.latent && options.grid_images > 0)
    launch.run.log("no sample grids: the network works on latents; --autoencoder decodes them");
  for (const auto& note : launch_notes(options, launch.flags, launch.group != nullptr))
    launch.run.log("note: " + note);
  const auto note = launch.images ? size_note(*launch.images, options) : std::string();
  if (!note.empty()) launch.run.log("note: " + note);
}

/// Trains, or makes what an earlier launch left out.
void train_on(TrainLaunch& launch) {
  auto& [options,
         flags,
         device,
         dataset,
         inputs,
         run,
         state,
         images,
         sequences,
         group,
         identity,
         changed,
         start] = launch;
  const bool goes_on = state.images_seen < options.total_images;
  const bool writes = !group || group->is_first();
  bool works = goes_on;
  if (writes) {
    run.truncate_stats(state.images_seen);
    for (const auto& note : cut_event_files(run.path(), state.images_seen))
      run.log("note: " + note);
    works = works || missing_snapshots(options, state, run).any();
    if (works) record(launch);
    if (goes_on) formats::write_file_atomically(run.config(), to_toml(options));
    log_begin(launch);
    if (works && options.tensorboard)
      run.log_to(
          std::make_shared<TensorboardLog>(run, options, state.images_seen, state.elapsed_sec));
  }
  if (group) works = group->broadcast(works ? "works" : "") == "works";
  if (!works) return;
  const auto objective = make_objective(options, with_state(inputs, state));
  const bool looks = writes && options.attention_stats_images > 0;
  const TrainingProcesses processes{
      group, {static_cast<int64_t>(flags.bucket_mib * (1 << 20)), flags.wire_precision == "bf16"}};
  if (sequences) {
    TokenSnapshots snapshots(options, *sequences, state, run, identity);
    if (looks) snapshots.look_with(std::make_unique<AttentionLog>(options, *sequences, device));
    data::TokenLoader batches(*sequences,
                              options.batch_size,
                              static_cast<uint64_t>(options.seed),
                              state.images_seen,
                              group ? group->rank() : 0,
                              group ? group->size() : 1);
    train(options, batches, *objective, snapshots, state, run, processes);
  } else {
    ImageSnapshots snapshots(options, *images, inputs, state, run, identity, group);
    if (looks)
      snapshots.look_with(std::make_unique<AttentionLog>(options, *images, inputs, device));
    train(options, *images, *objective, snapshots, state, run, processes);
  }
  if (writes) record_images(run, state.images_seen);
}

/// What --json prints: the last score with its error, or null.
nlohmann::json result_record(const RunConfig& options, const TrainResult& result) {
  const RunDir run(options.out);
  nlohmann::json score;
  for (const auto& line : run.read_stats())
    if (line.contains("distance")) score = line;
  const auto weights = run.checkpoints();
  return {{"run", options.out},
          {"images_seen", result.images_seen},
          {"total_images", options.total_images},
          {"finished", result.finished},
          {"elapsed_sec", result.elapsed_sec},
          {"weights", weights.empty() ? "" : weights.back().path.string()},
          {"score", score}};
}

void log_end(const TrainLaunch& launch) {
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

/// All that is wrong with the options, before any work.
void check_launch(const RunConfig& options) {
  options.validate();
  if (options.is_of_sequences()) return;
  GenerationSettings{options.diffusion, options.sample, options.guidance}.validate();
  check_grid(options);
}

/// --memory and --dry_run, of several processes once.
void say_first(const RunConfig& options, const LaunchOptions& flags) {
  const auto place = base::process_place();
  if (place.rank != 0) return;
  const auto processes = std::max(place.size, flags.processes.processes);
  const auto share = std::max<int64_t>(1, base::usable_cores() / processes);
  if (options.memory || options.dry_run)
    base::set_up_process(options.threads == 0 && processes > 1 ? share : options.threads);
  if (options.memory && place.launcher != "--processes") {  // which has said it already
    const torch::Device device(base::choose_device(options.device));
    print_training_memory(options, device, process_share(options, device, flags, processes));
  }
  if (options.dry_run) print_training_plan(options, launch_notes(options, flags, processes > 1));
}

void require_places(const RunConfig& options) {
  base::require(!options.out.empty(), "--out is missing; give the folder of the run");
  base::require(!options.data.empty(),
                options.is_of_sequences()
                    ? "--data is missing; give text, token arrays, or a task such as \"nt\""
                    : "--data is missing; \"procedural\" is the embedded set");
}

}  // namespace

TrainResult run_train(const RunConfig& given, const LaunchOptions& flags) {
  auto options = given;
  options.encoders.override_with(given.encoders);  // absolute paths: a run keeps them
  options.after_reading();
  take_what_is_open(options);
  check_launch(options);
  if (!options.dry_run) require_places(options);
  say_first(options, flags);
  if (options.dry_run) return {};
  auto* const group = start_processes(processes_of(flags), options.threads);
  require_example_each(group, options.batch_size, options.kept_together());
  model::use_fused_kernels(options.kernels == "fused");
  base::catch_stop_signals();
  const auto device = training_device(group, options.device, flags);
  const auto share = agreed_share(group, options, device, flags);
  if (device.is_cpu()) refuse_too_large(training_memory(options, device, share), usable_memory());

  TrainingData images;
  std::unique_ptr<data::TokenSource> sequences;
  if (options.is_of_sequences())
    sequences = open_training_sequences(options);
  else
    images = open_training_data(options, device);
  const data::Examples* dataset = images.dataset.get();
  if (sequences) dataset = sequences.get();
  if (group) require_same_job(*group, options, *dataset, device, ways_of(flags));

  RunDir run(options.out);
  const bool writes = !group || group->is_first();
  const bool begins = writes && run.states().empty();
  if (writes) require_input_files(options, begins);
  TrainState state(options, device, share.is_state_shared ? group : nullptr);
  TrainLaunch launch{options,
                     flags,
                     device,
                     *dataset,
                     images.inputs,
                     run,
                     state,
                     images.dataset.get(),
                     sequences.get(),
                     group};
  if (begins && !options.init.empty())  // weights of which nothing fits leave no folder
    launch.start = start_from(options, dataset->class_names(), state, dataset->fingerprint());
  refuse_cut_group(group, options, flags.resume_from);  // before files are moved
  writes ? run.open_for_training() : run.leave_to_another();
  if (writes) prepare(launch);
  if (group) share_state(*group, state);
  refuse_cut_group(group, options, state.images_seen);
  train_on(launch);
  if (writes) log_end(launch);
  return {state.images_seen, state.images_seen >= options.total_images, state.elapsed_sec};
}

void add_train_command(CLI::App& app) {
  auto options = std::make_shared<RunConfig>();
  auto launch = std::make_shared<LaunchOptions>();
  options->dataset.image_size = 0;
  options->leave_to_data();
  auto* command = app.add_subcommand(
      "train",
      "Train a U-ViT, a U-ViC or a language model; the same command, or --out alone, resumes");
  add_fields(*command, *options);
  add_fields(*command, *launch);
  command->callback([options, launch, command, &app] {
    const auto* config = app.get_config_ptr();
    base::check_fields(*launch);
    const auto run = options_of_launch(*options, *command, config && config->count() > 0);
    launch->unread = notes_of_unread(run, given_options(app, *command));
    const auto result = run_train(run, *launch);
    const auto* group = base::process_group();
    if (!run.dry_run && (!group || group->is_first())) print_json(result_record(run, result));
  });
}

}  // namespace uvic::app
