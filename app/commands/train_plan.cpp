#include "app/commands/train_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "app/options/fields_json.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/data_facts.h"
#include "app/runs/latent_space.h"
#include "app/runs/processes.h"
#include "app/training/alignment.h"
#include "app/training/cost_estimate.h"
#include "app/training/learning_rate.h"
#include "app/training/memory_estimate.h"
#include "app/training/step.h"
#include "app/training/training_data.h"
#include "base/check.h"
#include "base/process.h"
#include "base/process_group.h"
#include "base/tensor_text.h"
#include "base/text_format.h"
#include "metrics/image_source.h"

namespace uvic::app {
namespace {

std::string as_comment(const std::string& text) {
  std::string comment;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    comment += "# " + base::printable_text(line) + "\n";
  return comment;
}

/// What is known before a training of the data, and of time and disk.
struct TrainingPlan {
  std::string text;
  nlohmann::json cost;  ///< null: not estimated
};

std::string passes_text(const RunConfig& config, const data::Examples& examples, int64_t size) {
  if (size == 0) return examples.describe() + "\nno end\n";  // a task makes them
  return fmt::format("{}\n{:.3g} passes over it\n",
                     examples.describe(),
                     static_cast<double>(config.total_images) / static_cast<double>(size));
}

/// Images of the reference whose features are made before the first step, as ImageSnapshots does.
int64_t reference_of_training(const RunConfig& config, int64_t training_images) {
  constexpr int64_t kMost = 50000;
  if (config.score_images == 0) return 0;
  if (config.score_ref.empty()) return std::min(kMost, training_images);
  if (metrics::source_kind(config.score_ref) != metrics::SourceKind::kImages) return 0;
  auto options = config.dataset;
  options.image_size = image_size_of(config.encoders, config.model.input());
  return std::min(kMost, metrics::open_images(config.score_ref, options).images->size());
}

void add_cost(const RunConfig& config, int64_t training_images, TrainingPlan& plan) {
  const torch::Device device(base::choose_device(config.device));
  const bool scores = config.score_images > 0;
  const auto image = measure_cost(config, device, scores);
  if (!image) {
    plan.text += "time not estimated: one step of this network takes too long for a trial\n";
    return;
  }
  const auto cost = estimate_cost(
      config,
      *image,
      /*images_seen=*/0,
      /*samples=*/0,
      scores && !config.is_of_sequences() ? reference_of_training(config, training_images) : 0);
  plan.text += cost_text(cost) + "\n";
  plan.cost = cost_record(cost);
}

TrainingPlan plan_of(const RunConfig& config) {
  TrainingPlan plan;
  if (config.is_of_sequences()) {
    const auto sequences = open_training_sequences(config);
    plan.text = passes_text(config, *sequences, sequences->size());
    add_cost(config, 0, plan);
    return plan;
  }
  const auto dataset = open_training_images(config);
  const auto note = size_note(*dataset, config);
  plan.text = passes_text(config, *dataset, dataset->size()) + (note.empty() ? "" : note + "\n");
  add_cost(config, dataset->size(), plan);
  return plan;
}

}  // namespace

void take_what_is_open(RunConfig& config) {
  if (!config.needs_data()) return;
  base::require(!config.data.empty() || config.dry_run || config.is_of_sequences(),
                "--data is missing; \"procedural\" is the embedded set");
  const auto lines = config.data.empty() ? take_defaults(config) : take_from_data(config);
  // Of several processes one says it: the first, or who starts them.
  const auto place = base::process_place();
  if (place.rank != 0 || place.launcher == "--processes") return;
  for (const auto& line : lines) fmt::print(stderr, "note: {}\n", line);
}

std::string training_summary(const RunConfig& config) {
  return fmt::format("{} parameters, {:.3f} GFLOP {} forward, {} training",
                     model::parameter_count(config.model),
                     model::forward_flops(config.model) / 1e9,
                     config.is_of_sequences() ? "a sequence of full length" : "an image",
                     base::si_number(training_flops(config)) + "FLOP");
}

MemoryEstimate training_memory(const RunConfig& config,
                               torch::Device device,
                               const ProcessShare& share) {
  const int64_t images = images_at_once(config, share.processes);
  const auto shards =
      choose_shards(config.shards,
                    images,
                    model::parameter_count(config.model) + alignment_parameters(config),
                    device,
                    config.kept_together());
  return estimate_memory(config, device, shards, share);
}

ProcessShare process_share(const RunConfig& config,
                           torch::Device device,
                           const LaunchOptions& flags,
                           int64_t processes) {
  ProcessShare share;
  share.processes = processes;
  if (processes == 1) return share;
  share.is_wire_narrow = flags.wire_precision == "bf16";
  // Every step evaluates the whole average.
  if (config.diffusion.alignment_loss > 0) return share;
  auto shared = share;
  shared.is_state_shared = true;
  share.is_state_shared = flags.sharded_optimizer == "auto"
                              ? sharing_pays(training_memory(config, device, share),
                                             training_memory(config, device, shared))
                              : flags.sharded_optimizer == "true";
  return share;
}

ProcessShare agreed_share(base::ProcessGroup* group,
                          const RunConfig& options,
                          torch::Device device,
                          const LaunchOptions& flags) {
  if (group && flags.sharded_optimizer == "true" && options.diffusion.alignment_loss > 0)
    refuse_in_all(
        group,
        "--sharded_optimizer true: diffusion.alignment_loss evaluates the average in every "
        "step, so each process needs all of it; give false");
  auto share = process_share(options, device, flags, group ? group->size() : 1);
  if (group && group->size() == 1) share.is_state_shared = flags.sharded_optimizer == "true";
  if (group)
    share.is_state_shared = group->broadcast(share.is_state_shared ? "shared" : "") == "shared";
  return share;
}

void refuse_cut_group(base::ProcessGroup* group, const RunConfig& config, int64_t images_seen) {
  if (const auto why = config.cut_group_at(images_seen); !why.empty()) refuse_in_all(group, why);
}

std::vector<std::string> launch_notes(const RunConfig& config,
                                      const LaunchOptions& flags,
                                      bool has_processes) {
  auto notes = flags.unread;
  const auto of_rate = schedule_notes(config.optimizer, config.total_images);
  notes.insert(notes.end(), of_rate.begin(), of_rate.end());
  if (has_processes) return notes;
  if (flags.wire_precision == "bf16")
    notes.emplace_back("--wire_precision bf16 has no effect in one process: it sends no gradients");
  if (flags.sharded_optimizer == "true")
    notes.emplace_back(
        "--sharded_optimizer true has no effect in one process: it keeps the whole state");
  return notes;
}

std::vector<std::pair<std::string, std::string>> ways_of(const LaunchOptions& flags) {
  return {{"--bucket_mib", fmt::format("{}", flags.bucket_mib)},
          {"--wire_precision", flags.wire_precision},
          {"--sharded_optimizer", flags.sharded_optimizer},
          {"--collectives", flags.collectives}};
}

void print_training_memory(const RunConfig& config,
                           torch::Device device,
                           const ProcessShare& share) {
  // What the libraries take once they compute and exchange: measured, bench/processes.py memory.
  constexpr double kAtWork_mib = 30;
  auto text = memory_text(training_memory(config, device, share),
                          (base::peak_resident_mib() + kAtWork_mib) * (1 << 20));
  if (config.dry_run) text = as_comment(text);  // what --dry_run prints is a config
  fmt::print("{}", text);
}

void print_training_plan(RunConfig config, const std::vector<std::string>& notes) {
  for (const auto& note : notes) fmt::print(stderr, "note: {}\n", note);
  const auto text = fmt::format("# {}\n", training_summary(config));
  TrainingPlan plan;
  if (!config.data.empty()) plan = plan_of(config);
  config.dry_run = config.memory = false;
  fmt::print("{}\n{}{}", to_toml(config), text, as_comment(plan.text));
  print_json({{"config", fields_json(config)},
              {"parameters", model::parameter_count(config.model)},
              {"forward_gflop_per_image", model::forward_flops(config.model) / 1e9},
              {"cost", plan.cost}});
}

}  // namespace uvic::app
