#include "app/commands/compare_sequences.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "app/commands/compare_cost.h"
#include "app/commands/compare_plan.h"
#include "app/commands/compare_steps.h"
#include "app/commands/score.h"
#include "app/runs/run_dir.h"
#include "app/runs/sequence_tokenizer.h"
#include "app/scoring/kept_result.h"
#include "app/scoring/sequence_scores.h"
#include "app/training/training_data.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process.h"
#include "data/formats/make_folder.h"
#include "data/formats/sha256.h"

namespace uvic::app {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

/// What a network is scored on.
struct ScoredPart {
  std::string data;
  data::TokenSplit split;
  const char* split_name;  ///< of uvic score
};

ScoredPart scored_part(const RunConfig& training) {
  if (training.score_ref.empty()) return {training.data, data::TokenSplit::kHeldOut, "held_out"};
  return {training.score_ref, data::TokenSplit::kAll, "all"};
}

std::unique_ptr<data::TokenSource> open_scored_part(const ComparedRun& run) {
  const auto& training = run.training;
  const auto input = training.model.input();
  const auto part = scored_part(training);
  const auto tokenizer =
      data::sequence_tasks().find(part.data) ? std::string() : training.encoders.tokenizer;
  auto source = data::open_token_source(
      part.data, training.tokens, {part.split, input.length, input.vocabulary, tokenizer});
  const auto trained_on =
      run.is_finished ? data_fingerprint_of(RunDir(training.out).latest_weights()) : std::string();
  check_token_source(input, *source, {part.data, tokenizer, trained_on}, /*allow_longer=*/false);
  return source;
}

/// Which sequences a network is scored on.
struct ScoredExamples {
  json key;  ///< equal for the same sequences
  std::string description;
};

ScoredExamples examples_of(const ComparedRun& run) {
  const auto& training = run.training;
  const auto source = open_scored_part(run);
  const auto part = scored_part(training);
  json key = {
      {"data", source->fingerprint()}, {"split", part.split_name}, {"count", training.score_count}};
  // The fingerprint is that of whole files: the share says where their held-out part begins.
  if (part.split == data::TokenSplit::kHeldOut && !data::sequence_tasks().find(part.data))
    key["held_out"] = training.tokens.held_out;
  return {std::move(key), source->describe()};
}

/// Tokens of a sequence of the training, whose data need not be there any more.
int64_t trained_length(const RunConfig& training) {
  if (const auto* task = data::sequence_tasks().find(training.data))
    return task->make(training.tokens, data::TokenSplit::kTrain)->length();
  return training.tokens.length > 0 ? training.tokens.length : training.model.input().length;
}

json score_of(const CompareOptions& options,
              const ComparedRun& run,
              const ScoredExamples& examples) {
  const auto& training = run.training;
  const auto metrics = parse_sequence_metrics(options.metrics);
  const auto part = scored_part(training);
  const auto weights = RunDir(training.out).latest_weights();
  const torch::Device device(base::choose_device(training.device));
  const json key = {{"weights_sha256", formats::sha256_file(weights)},
                    {"examples", examples.key},
                    {"metrics", metrics},
                    {"precision", base::resolve_precision(training.precision, device)}};
  return kept_or_new(run.score, key, check_score, [&] {
    ScoreOptions scored;
    scored.run = training.out;
    scored.data = part.data;
    scored.split = part.split_name;
    scored.count = training.score_count;
    scored.batch_size = options.sample_batch_size;
    scored.precision = training.precision;
    scored.kernels = training.kernels;
    scored.device = training.device;
    scored.threads = training.threads;
    auto score = sequence_score(run_score(scored), metrics);
    score["reference"] = examples.description;
    score["vocabulary"] = training.model.input().vocabulary;
    score["examples"] = examples.key;
    score["trained_length"] = trained_length(training);
    score["weights"] = weights.string();
    return score;
  });
}

/// What a network that knows nothing scores, where all columns have the same vocabulary.
std::vector<json> guess_of(const CompareOptions& options, const std::vector<ComparedRun>& plan) {
  const auto vocabulary = plan.front().training.model.input().vocabulary;
  for (const auto& run : plan)
    if (run.training.model.input().vocabulary != vocabulary) return {};
  return {uniform_guess(vocabulary, parse_sequence_metrics(options.metrics))};
}

}  // namespace

void check_sequence_comparison(const CompareOptions& options, const RunConfig& training) {
  parse_sequence_metrics(options.metrics);
  base::require(options.held_out.empty(),
                "--held_out: of images; sequences are scored on the held-out part of --data, or on "
                "those of --score_ref");
  base::require(options.captions.empty(), "--captions: of images; leave it out for sequences");
  base::require(options.num_ref == 0, "--num_ref: of images; leave it out for sequences");
  base::require(options.first_sample_seed == 0,
                "--first_sample_seed: of images; leave it out for sequences");
  const RunConfig usual;
  base::require(training.score_extractor == usual.score_extractor && training.inception.empty(),
                "--score_extractor, --inception: of images; leave them out for sequences");
}

void check_compared_sequences(const std::vector<ComparedRun>& plan) {
  std::set<std::string> checked;  // seeds of one config read the same
  for (const auto& run : plan) {
    if (!checked.insert(repeat_key(run.training)).second) continue;
    open_scored_part(run);
    if (!run.is_finished) open_training_sequences(run.training);
  }
}

std::string compare_sequences(const CompareOptions& options,
                              const fs::path& out,
                              const std::vector<ComparedRun>& plan) {
  const auto title = comparison_title(options, plan);
  check_compared_sequences(plan);
  if (const auto cost = comparison_cost(options, plan); !cost || cost->total_sec() > 0)
    say_compare(comparison_cost_text(cost));
  formats::make_folder(out / "scores");
  const auto baselines = guess_of(options, plan);
  std::map<std::string, ScoredExamples> examples;  // by config: its seeds have the same
  std::vector<json> scores;
  std::string text;
  for (size_t i = 0; i < plan.size(); ++i) {
    const auto& run = plan[i];
    train_compared(plan, i, run.training);
    stop_if_asked();
    const auto config = repeat_key(run.training);
    auto found = examples.find(config);
    if (found == examples.end()) found = examples.emplace(config, examples_of(run)).first;
    scores.push_back(score_of(options, run, found->second));
    stop_if_asked();
    if (i + 1 < plan.size() && plan[i + 1].round == run.round) continue;
    const auto entries = compared_entries(plan, scores, [](const ComparedRun& first) {
      return ReportEntry{first.column, first.training.out, {}, {}};
    });
    text = write_comparison(options, out, title, entries, baselines);
  }
  return text;
}

}  // namespace uvic::app
