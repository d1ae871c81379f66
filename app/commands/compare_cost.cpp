#include "app/commands/compare_cost.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "app/options/fields_json.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/data_facts.h"
#include "app/runs/latent_space.h"
#include "app/runs/run_dir.h"
#include "app/scoring/memorisation.h"
#include "app/training/training_data.h"
#include "base/process.h"
#include "metrics/image_source.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

/// What of a run is still to be done.
struct Remainder {
  int64_t images_seen = 0, samples = 0;
  bool is_nothing = false;
};

Remainder remainder_of(const ComparedRun& run) {
  Remainder left;
  left.images_seen = run.is_finished ? run.training.total_images : 0;
  if (const RunDir folder(run.training.out); !run.is_finished && folder.is_run())
    for (const auto& file : folder.checkpoints()) left.images_seen = file.images_seen;
  left.samples = fs::exists(run.score) ? 0 : run.training.score_count;
  left.is_nothing = left.samples == 0 && left.images_seen >= run.training.total_images;
  return left;
}

data::DatasetOptions dataset_of_scores(const RunConfig& training) {
  auto options = training.dataset;
  options.image_size = image_size_of(training.encoders, training.model.input());
  return options;
}

/// Images of the reference whose features are to be computed, once; 0: it is statistics.
int64_t reference_of_comparison(const CompareOptions& options,
                                const RunConfig& training,
                                int64_t size) {
  if (!training.score_ref.empty()) {
    if (metrics::source_kind(training.score_ref) != metrics::SourceKind::kImages) return 0;
    size = metrics::open_images(training.score_ref, dataset_of_scores(training)).images->size();
  }
  return options.num_ref > 0 ? std::min(options.num_ref, size) : size;
}

}  // namespace

int64_t images_besides_samples(const CompareOptions& options,
                               const std::vector<ComparedRun>& plan) {
  const auto& training = plan.front().training;
  if (training.is_of_sequences()) return 0;
  const auto scores = plan.front().score.parent_path();
  const auto neighbours = scores.parent_path() / "neighbours";
  const auto images = training.data.empty() ? nullptr : open_training_images(training);
  const int64_t reference = images && !images->format().is_latent
                                ? reference_of_comparison(options, training, images->size())
                                : 0;
  int64_t held_out = 0, passes_of_reference = fs::exists(scores / "reference.npz") ? 0 : 1;
  if (!options.held_out.empty())
    held_out = data::open_dataset(options.held_out, dataset_of_scores(training))->size();
  int64_t total = fs::exists(scores / "noise.json") ? 0 : training.score_count;
  // Other metrics than the distance need the features themselves, which no file keeps.
  const bool again = options.image_metrics() != "fd";
  if (held_out > 0 && !fs::exists(scores / "held_out.json")) {
    total += std::min(held_out, training.score_count);
    passes_of_reference += again;
  }
  int64_t queries = 0;
  for (const auto& run : plan) {
    passes_of_reference += again && !fs::exists(run.score);
    if (run.round == plan.front().round &&
        !fs::exists(neighbours / (run.score.stem().string() + ".json")))
      queries +=
          std::min(kNearestQueries, run.training.score_count) + std::min(kNearestQueries, held_out);
  }
  total += passes_of_reference * reference;
  if (queries > 0 && images && !images->format().is_latent)
    total += std::min(kMostNearest, images->size()) + queries * (training.flip ? 2 : 1);
  return total;
}

std::optional<RunCost> comparison_cost(const CompareOptions& options,
                                       const std::vector<ComparedRun>& plan) {
  RunCost total;
  if (std::all_of(
          plan.begin(), plan.end(), [](const auto& run) { return remainder_of(run).is_nothing; }))
    return total;
  std::map<std::string, std::optional<ImageCost>> costs;
  for (const auto& run : plan) {
    if (!costs.count(run.column)) {
      base::set_up_process(run.training.threads);
      const torch::Device device(base::choose_device(run.training.device));
      costs[run.column] = measure_cost(run.training, device, /*scores=*/true);
    }
    const auto& image = costs[run.column];
    if (!image) return std::nullopt;
    const auto left = remainder_of(run);
    auto cost = estimate_cost(run.training, *image, left.images_seen, left.samples);
    if (run.is_finished) cost.disk_bytes = 0;
    total += cost;
  }
  total.features_sec += static_cast<double>(images_besides_samples(options, plan)) *
                        costs[plan.front().column]->features_sec;
  return total;
}

std::string comparison_cost_text(const std::optional<RunCost>& cost) {
  return cost ? cost_text(*cost)
              : "time not estimated: one step of a network takes too long for a trial";
}

void print_comparison_plan(const CompareOptions& options, const std::vector<ComparedRun>& plan) {
  auto configs = nlohmann::json::object();
  for (const auto& run : plan) {
    if (configs.contains(run.column)) continue;
    auto shown = run.training;
    shown.dry_run = shown.memory = false;
    configs[run.column] = fields_json(shown);
    fmt::print("# {}{}\n{}\n",
               run.column,
               run.is_finished ? fmt::format(": {}, finished", run.training.out) : "",
               to_toml(shown));
  }
  const auto cost = comparison_cost(options, plan);
  fmt::print("# {} columns, {} runs\n", configs.size(), plan.size());
  const auto& first = plan.front().training;
  if (!first.data.empty() && first.is_of_sequences()) {
    fmt::print("# {}\n", open_training_sequences(first)->describe());
  } else if (!first.data.empty()) {
    const auto dataset = open_training_images(first);
    const auto note = size_note(*dataset, first);
    fmt::print("# {}\n{}", dataset->describe(), note.empty() ? "" : "# " + note + "\n");
  }
  fmt::print("# {}\n", comparison_cost_text(cost));
  print_json({{"config", configs},
              {"runs", plan.size()},
              {"cost", cost ? cost_record(*cost) : nlohmann::json()}});
}

}  // namespace uvic::app
