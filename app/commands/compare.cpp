#include "app/commands/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "app/commands/compare_cost.h"
#include "app/commands/compare_plan.h"
#include "app/commands/compare_sequences.h"
#include "app/commands/compare_steps.h"
#include "app/commands/sample.h"
#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/latent_space.h"
#include "app/runs/text_encoder.h"
#include "app/sampling/generate.h"
#include "app/sampling/image_grid.h"
#include "app/sampling/prompt_list.h"
#include "app/sampling/real_images.h"
#include "app/sampling/sample_folder.h"
#include "app/scoring/comparison_scores.h"
#include "app/scoring/memorisation.h"
#include "base/check.h"
#include "base/process.h"
#include "data/dataset.h"
#include "data/formats/image_file.h"
#include "data/formats/json.h"
#include "data/formats/json_fields.h"
#include "data/formats/make_folder.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr uint64_t kRealImagesShown = 100;

/// Real images of the classes of the samples, next to which the report shows them.
void write_real_images_of(const data::Dataset& dataset,
                          const fs::path& samples,
                          const fs::path& folder) {
  const auto file = samples / "samples.json";
  const auto record = formats::read_json(file);
  const auto seeds = formats::text_field(record, "seeds", "", file.string());
  write_real_images(dataset, SeedList::parse(seeds).slice(0, kRealImagesShown), record, folder);
}

/// The same for every column.
std::vector<std::string> prompts_of(const CompareOptions& options, const RunConfig& training) {
  return captions_for(training,
                      options.captions,
                      training.score_count,
                      static_cast<uint64_t>(options.first_sample_seed));
}

SampleOptions sample_options(const CompareOptions& options, const ComparedRun& run) {
  SampleOptions sample;
  sample.run = run.training.out;
  sample.out = run.samples.string();
  sample.seeds = compared_seeds(options, run.training.score_count);
  sample.prompt = prompts_of(options, run.training);
  sample.encoders = run.training.encoders;
  sample.guidance = run.training.guidance;
  sample.sample = run.training.sample;
  sample.batch_size = options.sample_batch_size;
  sample.precision = run.training.precision;
  sample.device = run.training.device;
  sample.threads = run.training.threads;
  sample.remedy = "remove that folder or choose another --out";
  return sample;
}

/// The real images and the noise, against the same reference as the samples.
std::vector<json> baselines_of(const ComparisonScores& scoring,
                               const data::Dataset* held_out,
                               const fs::path& samples,
                               const fs::path& real) {
  std::vector<json> baselines;
  if (held_out) {
    write_real_images_of(*held_out, samples, real);
    baselines.push_back(scoring.of_held_out(*held_out));
    baselines.back()["name"] = "real, held out";
    baselines.back()["images_folder"] = real.string();
    stop_if_asked();
  }
  baselines.push_back(scoring.of_noise());
  baselines.back()["name"] = "noise";
  return baselines;
}

/// All columns are scored on the same seeds: a folder of an earlier comparison with more of them is
/// refused before any work.
void check_samples(const CompareOptions& options, const ComparedRun& run) {
  const auto file = run.samples / "samples.json";
  if (!fs::exists(file)) return;
  const auto wanted = compared_seeds(options, run.training.score_count);
  const auto there = formats::text_field(formats::read_json(file), "seeds", "", file.string());
  if (there.empty()) return;
  auto others = SeedList::parse(there).set();
  others.erase_all(SeedList::parse(wanted).set());
  base::require(others.empty(),
                "{}: holds seeds {}, --score_count and --first_sample_seed want {}; remove the "
                "folder or choose another --out",
                run.samples.string(),
                there,
                wanted);
}

/// What sampling will need, opened once before any training: the encoders and the captions.
void check_sampling(const CompareOptions& options, const RunConfig& training) {
  const auto input = training.model.input();
  const auto prompts = prompts_of(options, training);
  const torch::Device device(base::choose_device(training.device));
  const auto latent = open_latent_space(training.encoders, input, device, torch::kFloat32);
  if (!prompts.empty()) open_text_encoder(training.encoders, input, device, torch::kFloat32);
}

/// Null where --held_out is not given.
std::unique_ptr<data::Dataset> open_held_out(const CompareOptions& options,
                                             const RunConfig& training) {
  auto dataset = training.dataset;
  dataset.image_size = image_size_of(training.encoders, training.model.input());
  return options.held_out.empty() ? nullptr : data::open_dataset(options.held_out, dataset);
}

/// The plan from top to bottom; returns the report as text. Throws StopRequested.
std::string compare_images(const CompareOptions& options,
                           const fs::path& out,
                           const std::vector<ComparedRun>& plan) {
  const auto& first = plan.front().training;
  const auto title = comparison_title(options, plan);
  // Before any training, so that a wrong path is reported at once.
  const auto held_out = open_held_out(options, first);
  for (const auto& run : plan) check_samples(options, run);
  for (const auto& run : plan)
    if (run.round == plan.front().round) check_sampling(options, run.training);
  if (const auto cost = comparison_cost(options, plan); !cost || cost->total_sec() > 0)
    say_compare(comparison_cost_text(cost));
  const ComparisonScores scoring(
      {options.image_metrics(), options.num_ref, options.held_out}, first, out / "scores");
  Memorisation memorisation(first, held_out.get(), out / "neighbours");
  std::vector<json> scores, baselines;
  std::string text;
  for (size_t i = 0; i < plan.size(); ++i) {
    const auto& run = plan[i];
    train_compared(plan, i, scoring.during(run.training));
    stop_if_asked(run_sample(sample_options(options, run)));
    scores.push_back(scoring.of_samples(run.samples, run.score));
    stop_if_asked();
    if (baselines.empty())
      baselines = baselines_of(scoring, held_out.get(), run.samples, out / "samples" / "real");
    if (i + 1 < plan.size() && plan[i + 1].round == run.round) continue;
    const auto entries = compared_entries(plan, scores, [&](const ComparedRun& first_run) {
      ReportEntry entry{first_run.column, first_run.training.out, first_run.samples, {}};
      entry.neighbours = memorisation.of(first_run.samples, first_run.score.stem());
      return entry;
    });
    text = write_comparison(options, out, title, entries, baselines);
  }
  return text;
}

}  // namespace

bool run_comparison(const CompareOptions& options,
                    const fs::path& out,
                    const std::vector<ComparedRun>& plan) {
  const auto& first = plan.front().training;
  if (first.dry_run) {
    if (!first.is_of_sequences()) open_held_out(options, first);
    if (first.is_of_sequences() && !first.data.empty()) check_compared_sequences(plan);
    print_comparison_plan(options, plan);
    return true;
  }
  try {
    fmt::print("{}",
               first.is_of_sequences() ? compare_sequences(options, out, plan)
                                       : compare_images(options, out, plan));
    if (json_is_asked()) print_json(formats::read_json(out / "report.json"));
    return true;
  } catch (const base::StopRequested&) {
    return false;
  }
}

void add_compare_command(CLI::App& app) {
  auto options = std::make_shared<CompareOptions>();
  auto training = std::make_shared<RunConfig>();
  auto* command = app.add_subcommand(
      "compare", "Train and score configs side by side, with samples of images, and report");
  add_fields(*command, *options);
  add_fields(*command, *training);  // given ones override every config
  command->get_option("--out")->description(
      "Folder of the comparison; the same command continues what is there");
  command->callback([options, training, command, &app] {
    options->given = given_options(app, *command);
    if (training->out.empty())
      throw std::invalid_argument("compare: --out is missing; give the folder of the comparison");
    const fs::path out = training->out;
    const auto plan =
        plan_comparison(*options, out, [&](RunConfig& config) { apply_given(*command, config); });
    base::require(!plan.front().training.data.empty() || training->dry_run,
                  plan.front().training.is_of_sequences()
                      ? "compare: --data is missing; give text, token arrays, or a task such as "
                        "\"nt\""
                      : "compare: --data is missing; \"procedural\" is the embedded set");
    if (!run_comparison(*options, out, plan))
      say_compare("stopped; the same command continues from here");
  });
}

}  // namespace uvic::app
