#include "app/commands/train.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "app/options/options.h"
#include "app/runs/run_dir.h"
#include "app/training/image_snapshots.h"
#include "app/training/memory_estimate.h"
#include "app/training/objective.h"
#include "app/training/step.h"
#include "app/training/train_state.h"
#include "app/training/trainer.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "model/kernel_choice.h"

namespace uvic::app {
namespace {

std::map<std::string, std::string> leaves(RunConfig options) {
  std::map<std::string, std::string> values;
  visit_leaves(options, [&](const std::string& name, auto& field, const base::Field&) {
    values[name] = detail::toml_value(field);
  });
  return values;
}

// Whether another value gives another run; the rest only changes where, how fast and how often it
// is reported.
bool shapes_the_run(const std::string& key) {
  for (const auto* harmless : {"data",
                               "out",
                               "device",
                               "threads",
                               "workers",
                               "log_images",
                               "grid_images",
                               "checkpoint_images",
                               "grid_count",
                               "score_images",
                               "score_ref",
                               "score_count",
                               "score_extractor",
                               "inception",
                               "dry_run",
                               "memory",
                               "total_images",
                               "guidance_scale",
                               "guidance_t_low",
                               "guidance_t_high"})
    if (key == harmless) return false;
  return key.rfind("sample.", 0) != 0 && key != "dataset.memory_limit_mib";
}

// Whether weights trained with another value mean something else to whoever draws with them.
bool tells_what_is_predicted(const std::string& key) {
  for (const auto* part : {"schedule",
                           "beta_0",
                           "beta_1",
                           "diffusion_steps",
                           "cosine_s",
                           "sigma_data",
                           "time_scale",
                           "time_offset",
                           "prediction"})
    if (key == std::string("diffusion.") + part) return true;
  return false;
}

// The record of an earlier sitting against the options of this one: another model or another
// meaning of its output is refused, the rest is told.
void compare_with_record(const RunConfig& options,
                         const RunDir& run,
                         torch::Device device,
                         bool goes_on) {
  if (!std::filesystem::exists(run.config())) return;
  RunConfig recorded;
  read_toml(run.config(), recorded);
  const auto before = leaves(recorded), now = leaves(options);
  for (const auto& [key, value] : now) {
    const bool ends_the_decay = key == "total_images" && options.optimizer.lr_decay != "none";
    if (!(shapes_the_run(key) || ends_the_decay) || before.at(key) == value) continue;
    if (key == "precision" && base::resolve_precision(recorded.precision, device) ==
                                  base::resolve_precision(options.precision, device))
      continue;  // auto, and what auto is here
    const auto change = fmt::format("{} was {}, is {}", key, before.at(key), value);
    base::require(key.rfind("model.", 0) != 0,
                  fmt::format("{}: trained with another network: {}; choose another --out",
                              run.path().string(),
                              change));
    base::require(!tells_what_is_predicted(key),
                  fmt::format("{}: trained to predict something else: {}; choose another --out",
                              run.path().string(),
                              change));
    run.log("note: " + change +
            (goes_on ? "; from here on this is another run"
                     : "; the run is finished and stays what it was"));
  }
}

void check_data(const RunConfig& options, const data::Dataset& dataset) {
  const auto classes = static_cast<int64_t>(dataset.class_names().size());
  if (options.model.input().num_classes > 0) {
    base::require(
        classes > 0,
        fmt::format(
            "{}: no labels, but model.num_classes is {}; give a folder per class or set it to -1",
            options.data,
            options.model.input().num_classes));
    const int64_t real = options.model.input().num_classes - (options.label_dropout > 0 ? 1 : 0);
    base::require(
        classes <= real,
        fmt::format("{}: {} classes, but model.num_classes {} leaves room for {}{}",
                    options.data,
                    classes,
                    options.model.input().num_classes,
                    real,
                    options.label_dropout > 0 ? " beside the null class of label_dropout" : ""));
    if (classes < real)
      fmt::print(stderr,
                 "note: {} has {} classes, model.num_classes {} has room for {}; the rest is never "
                 "trained nor drawn\n",
                 options.data,
                 classes,
                 options.model.input().num_classes,
                 real);
  }
  base::require(dataset.size() > 0, fmt::format("{}: holds no picture", options.data));
}

std::string summary(const RunConfig& options) {
  return fmt::format("{} parameters, {:.3f} GFLOP a picture forward, {} training",
                     model::parameter_count(options.model),
                     model::forward_flops(options.model) / 1e9,
                     base::si_number(3 * model::forward_flops(options.model) *
                                     static_cast<double>(options.total_images)) +
                         "FLOP");
}

// How many shards a step has depends on the threads: after set_up_process().
void print_memory(const RunConfig& options, torch::Device device) {
  const int64_t images = (options.batch_size + options.accumulate - 1) / options.accumulate;
  const auto shards =
      choose_shards(options.shards, images, model::parameter_count(options.model), device);
  fmt::print("{}", memory_text(estimate_memory(options, device, shards)));
}

}  // namespace

TrainResult run_train(const RunConfig& options) {
  options.validate();
  check_grid(options);
  if (options.memory) {
    base::set_up_process(options.threads);
    print_memory(options, torch::Device(base::choose_device(options.device)));
  }
  if (options.dry_run) {
    fmt::print("{}\n# {}\n", to_toml(options), summary(options));
    return {};
  }
  base::require(!options.data.empty(), "--data: needed; \"procedural\" is the embedded set");
  base::require(!options.out.empty(), "--out: needed, the folder of the run");
  base::set_up_process(options.threads);
  model::use_fused_kernels(options.kernels == "fused");
  base::catch_stop_signals();
  const torch::Device device(base::choose_device(options.device));

  auto dataset_options = options.dataset;
  dataset_options.image_size = options.model.input().size;
  const auto dataset = data::open_dataset(options.data, dataset_options);
  check_data(options, *dataset);

  RunDir run(options.out);
  run.open_for_training();
  TrainState state(options.model, options.optimizer, static_cast<uint64_t>(options.seed), device);
  const bool resumed = std::filesystem::exists(run.state());
  if (resumed) {
    auto saved = read_metadata(run.state());
    compare_with_record(
        options, run, device, std::atoll(saved["uvic.images_seen"].c_str()) < options.total_images);
    const auto trained_on = saved["uvic.data_fingerprint"];
    base::require(trained_on.empty() || trained_on == dataset->fingerprint(),
                  fmt::format("{}: trained on other pictures than {}; choose another --out",
                              options.out,
                              options.data));
    state.load(run.state());
    run.log(fmt::format("resumed at {} images", state.images_seen));
  } else {
    formats::write_json(
        run.provenance(),
        {{"name", std::filesystem::absolute(options.out).lexically_normal().filename().string()},
         {"command", base::command_line()},
         {"version", UVIC_VERSION},
         {"libtorch", TORCH_VERSION},
         {"device", device.str()},
         {"threads", at::get_num_threads()},
         {"precision", base::resolve_precision(options.precision, device)},
         {"data",
          {{"source", options.data},
           {"describe", dataset->describe()},
           {"fingerprint", dataset->fingerprint()},
           {"class_names", dataset->class_names()}}},
         {"parameters", model::parameter_count(options.model)},
         {"forward_gflop_per_image", model::forward_flops(options.model) / 1e9},
         {"total_images", options.total_images},
         {"started", base::utc_now()}});
  }
  run.truncate_stats(state.images_seen);
  const bool goes_on = state.images_seen < options.total_images;
  if (goes_on) formats::write_file_atomically(run.config(), to_toml(options));
  run.log(fmt::format("{}: {}; {} threads, {}",
                      dataset->describe(),
                      summary(options),
                      at::get_num_threads(),
                      base::resolve_precision(options.precision, device)));

  if (goes_on || missing_snapshots(options, state, run).any()) {
    const auto objective = make_objective(options);
    const ImageSnapshots snapshots(options, *dataset, state, run);
    train(options, *dataset, *objective, snapshots, state, run);
  }
  const bool finished = state.images_seen >= options.total_images;
  run.log(
      fmt::format("{} at {} images after {} of training: {}",
                  finished ? "finished" : "stopped and saved",
                  state.images_seen,
                  base::duration_text(state.elapsed_sec),
                  finished ? run.weights(state.images_seen).string() : "the same command goes on"));
  if (dataset->skipped() > 0)
    run.log(fmt::format("{} files could not be decoded and were skipped", dataset->skipped()));
  return {state.images_seen, finished, state.elapsed_sec};
}

void add_train_command(CLI::App& app) {
  auto options = std::make_shared<RunConfig>();
  options->dataset.image_size = 0;
  auto* command = app.add_subcommand("train", "Train a U-ViT or a U-ViC; the same command resumes");
  add_fields(*command, *options);
  command->callback([options] { run_train(*options); });
}

}  // namespace uvic::app
