#include "app/commands/score.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>

#include "app/options/json_output.h"
#include "app/options/options.h"
#include "app/runs/sequence_tokenizer.h"
#include "base/check.h"
#include "base/precision.h"
#include "base/process.h"
#include "base/progress_line.h"
#include "data/formats/json.h"
#include "data/formats/output_file.h"
#include "model/kernel_choice.h"
#include "model/weights.h"

namespace uvic::app {
namespace {

data::TokenSplit split_of(const ScoreOptions& options) {
  if (options.split == "train") return data::TokenSplit::kTrain;
  if (options.split == "held_out") return data::TokenSplit::kHeldOut;
  if (options.split == "all") return data::TokenSplit::kAll;
  return options.data.empty() ? data::TokenSplit::kHeldOut : data::TokenSplit::kAll;
}

/// The sequences to score, which suit the network.
std::unique_ptr<data::TokenSource> open_scored(const ScoreOptions& options,
                                               const WeightsFile& file,
                                               const RunConfig& training,
                                               const std::string& name) {
  const auto input = training.model.input();
  auto tokens = training.tokens;
  if (options.length > 0) tokens.length = options.length;
  // A task has tokens of its own, and a run on text may be scored on one.
  auto tokenizer = options.tokenizer;
  if (tokenizer.empty() && !data::sequence_tasks().find(name))
    tokenizer = training.encoders.tokenizer;
  auto source = data::open_token_source(
      name, tokens, {split_of(options), input.length, input.vocabulary, tokenizer});
  check_token_source(
      input, *source, {name, tokenizer, data_fingerprint_in(file.metadata)}, options.allow_longer);
  return source;
}

std::string with_error(double value, double error, int digits) {
  return std::isfinite(error) ? fmt::format("{:.{}f} +- {:.{}f}", value, digits, error, digits)
                              : fmt::format("{:.{}f}", value, digits);
}

void print_group(const TokenGroupScore& group) {
  fmt::print("  {:<16} accuracy {} %  loss {}  ({} tokens)\n",
             group.name,
             with_error(100 * group.accuracy.mean, 100 * group.accuracy.error, 2),
             with_error(group.loss.mean, group.loss.error, 4),
             group.tokens);
}

void print_score(const TokenScore& score) {
  fmt::print("loss {} nats a token\nperplexity {}\naccuracy {} % of {} tokens\n",
             with_error(score.all.loss.mean, score.all.loss.error, 4),
             with_error(score.perplexity(), score.perplexity_error(), 3),
             with_error(100 * score.all.accuracy.mean, 100 * score.all.accuracy.error, 2),
             score.all.tokens);
  fmt::print("whole sequences right {} % of {}\n",
             with_error(100 * score.whole.mean, 100 * score.whole.error, 2),
             score.sequences);
  if (!score.parts.empty()) fmt::print("by sub-task\n");
  for (const auto& group : score.parts) print_group(group);
  if (!score.sizes.empty()) fmt::print("by length of the problem\n");
  for (const auto& group : score.sizes) print_group(group);
}

}  // namespace

TokenScore run_score(const ScoreOptions& options) {
  base::check_fields(options);
  base::require(options.run.empty() != options.weights.empty(),
                "score: give --run FOLDER or --weights FILE");
  formats::refuse_same_file(
      {options.out}, {options.weights, options.data, options.tokenizer, options.network.config});
  if (!options.out.empty()) formats::check_output_file(options.out, /*overwrite=*/true);
  base::set_up_process(options.threads);
  base::catch_stop_signals();
  model::use_fused_kernels(options.kernels == "fused");
  const torch::Device device(base::choose_device(options.device));
  const auto file = open_weights(options.run.empty() ? options.weights : options.run);
  base::require(file.is_network,
                "{}: these are not the tensors of a network that uvic knows",
                file.path.string());
  const auto known = network_config(file, options.network);
  const auto& training = known.training;
  const auto input = training.model.input();
  base::require(input.takes_tokens(),
                "{}: a network of images; \"uvic fid\" scores what it generates",
                file.path.string());
  const auto name = options.data.empty() ? training.data : options.data;
  base::require(!name.empty(),
                "--data is missing; these weights do not say what they were trained on");
  const auto source = open_scored(options, file, training, name);

  const auto network = model::as_sequence_network(model::make_network(training.model));
  model::load_weights(*network, file.tensors, file.path.string());
  network->to(device);
  network->set_compute_dtype(
      base::compute_dtype(base::resolve_precision(options.precision, device)));
  network->eval();
  const int64_t count =
      source->size() > 0 ? std::min(options.count, source->size()) : options.count;
  base::CountProgress progress("scored", "sequences");
  auto score = score_tokens(*network,
                            *source,
                            static_cast<uint64_t>(options.seed),
                            count,
                            options.batch_size,
                            [&](int64_t done) { progress(done, count); });
  if (!std::isfinite(score.all.loss.mean) && score.all.tokens > 0)
    fmt::print(stderr,
               "warning: {}: the loss is not finite; logits are NaN or infinite, and the accuracy "
               "means nothing\n",
               file.path.string());
  if (!options.out.empty()) {
    auto record = score.json();
    record["weights"] = file.path.string();
    record["data"] = source->describe();
    record["seed"] = options.seed;
    formats::write_json(options.out, record);
  }
  return score;
}

void add_score_command(CLI::App& app) {
  auto options = std::make_shared<ScoreOptions>();
  auto* command =
      app.add_subcommand("score", "Loss, perplexity and accuracy of a language model on tokens");
  add_fields(*command, *options);
  command->callback([options] {
    try {
      const auto score = run_score(*options);
      print_score(score);
      print_json(score.json());
    } catch (const base::StopRequested&) {
      fmt::print(stderr, "stopped\n");
    }
  });
}

}  // namespace uvic::app
