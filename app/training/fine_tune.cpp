#include "app/training/fine_tune.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "app/runs/network_choice.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/runs/sequence_tokenizer.h"
#include "app/runs/weights_file.h"
#include "base/check.h"
#include "base/process.h"
#include "data/formats/json.h"
#include "data/formats/json_fields.h"
#include "data/formats/safetensors.h"
#include "model/weight_transfer.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

model::NamedTensors copies(const model::NamedTensors& tensors) {
  model::NamedTensors result;
  for (const auto& [name, tensor] : tensors) result.emplace(name, tensor.detach().cpu().clone());
  return result;
}

std::vector<std::string> class_names_of(const WeightsFile& file) {
  const auto names = file.metadata.find("uvic.class_names");
  if (names == file.metadata.end()) return {};
  return formats::parse_texts(names->second, file.path.string(), "uvic.class_names");
}

KnownNetwork network_of(const RunConfig& config, const WeightsFile& file) {
  try {
    base::require(file.is_network, "these are not the tensors of a network that uvic knows");
    return network_config(file, {});
  } catch (const std::invalid_argument& error) {  // UnknownNetwork too
    throw std::invalid_argument(
        fmt::format("--init {}: {}; \"uvic convert {} NAME.safetensors --config CONFIG\" writes a "
                    "file that holds its config",
                    config.init,
                    error.what(),
                    base::shell_word(config.init)));
  }
}

/// The file of the state that belongs to the weights, for --init_optimizer keep.
fs::path state_of(const RunConfig& config, const WeightsFile& file) {
  const auto images = count_in(file.metadata, "uvic.images_seen");
  base::require(!file.run_folder.empty() && images,
                "--init_optimizer keep: --init {} is not a run; weights without a run have no "
                "optimizer state, give --init_optimizer fresh",
                config.init);
  const RunDir run(file.run_folder);
  const auto path = run.state_at(*images);
  if (path.empty()) {
    std::vector<int64_t> kept;
    for (const auto& state : run.states()) kept.push_back(state.images_seen);
    throw std::invalid_argument(fmt::format(
        "--init_optimizer keep: {} keeps no state of {} images; kept are {}; give one of them as "
        "--init RUN@IMAGES, or --init_optimizer fresh",
        file.run_folder.string(),
        *images,
        kept.empty() ? "none" : fmt::format("{}", fmt::join(kept, ", "))));
  }
  RunConfig own;
  if (read_own_config(read_metadata(path), path.string(), own))
    base::require(own.optimizer.kind == config.optimizer.kind,
                  "--init_optimizer keep: the state is one of {}, optimizer.kind is {}; give "
                  "--init_optimizer fresh",
                  own.optimizer.kind,
                  config.optimizer.kind);
  return path;
}

void fill(TrainState& state, const TrainState::Set& set, const model::NamedTensors& from) {
  // Weights have no alignment head: it stays new.
  for (size_t i = 0; i < state.names.size(); ++i)
    if (const auto found = from.find(state.names[i]);
        found != from.end() && set.tensors[i].defined())
      state.fill(set, i, found->second);
}

std::string started_text(const std::string& source,
                         const std::string& sha256,
                         const WeightsFile& file) {
  const auto images = count_in(file.metadata, "uvic.images_seen");
  return fmt::format("started from {} (sha256 {}, {})",
                     source,
                     sha256.substr(0, 16),
                     images      ? fmt::format("{} images seen", *images)
                     : file.step ? fmt::format("{} steps", *file.step)
                                 : "images seen unknown");
}

StartingPoint describe(const RunConfig& config,
                       const WeightsFile& file,
                       const KnownNetwork& known,
                       const model::WeightTransfer& transfer,
                       bool by_name) {
  const auto sha256 = weights_sha256(file);
  const auto images = count_in(file.metadata, "uvic.images_seen");
  const auto identity = identity_of(file.metadata, file.path.string());
  StartingPoint start;
  start.lines.push_back(started_text(config.init, sha256, file));
  for (const auto& note : file.notes) start.lines.push_back("  " + note);
  for (const auto& assumed : known.assumed) start.lines.push_back("  assumed: " + assumed);
  const auto fates = model::transfer_lines(transfer);
  for (const auto& line : fates) start.lines.push_back("  " + line);
  if (known.training.model.input().takes_classes() && config.model.input().takes_classes())
    start.lines.push_back(fmt::format("  classes are matched by {}", by_name ? "name" : "number"));
  auto warnings = transfer.warnings;
  auto same_network = known.training;
  same_network.model = config.model;
  if (const auto other = difference_of_meaning(same_network, config); !other.empty())
    warnings.push_back(other + ": the output layers have to learn another meaning");
  for (const auto& warning : warnings) start.lines.push_back("  warning: " + warning);
  start.lines.push_back(fmt::format("  optimizer state: {}", config.init_optimizer));
  nlohmann::json facts = {{"name", file.path.filename().string()}, {"sha256", sha256}};
  if (images) facts["images_seen"] = *images;
  if (!identity.empty()) facts["run_id"] = identity.run_id;
  if (!known.assumed.empty()) facts["assumed"] = known.assumed;
  start.metadata = facts.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  start.record = facts;
  start.record["source"] = config.init;
  start.record["file"] = fs::absolute(file.path).lexically_normal().string();
  start.record["optimizer"] = config.init_optimizer;
  start.record["tensors"] = fates;
  start.record["warnings"] = warnings;
  return start;
}

/// What to say where the weights learned the tokens of another tokenizer; empty where they did not,
/// or where either does not tell.
std::string tokenizer_warning(const RunConfig& config,
                              const WeightsFile& file,
                              const std::string& data_fingerprint) {
  const auto trained_on = data_fingerprint_in(file.metadata);
  const auto before = tokenizer_in(trained_on), now = tokenizer_in(data_fingerprint);
  if (!config.is_of_sequences() || trained_on.empty() || data_fingerprint.empty() || before == now)
    return "";
  const auto word = [](const std::string& tokenizer) {
    return tokenizer.empty() ? std::string("no tokenizer file") : tokenizer;
  };
  return fmt::format(
      "the tokens were made with {}, are made with {}: the embedding and the head have to learn "
      "what each number means",
      word(before),
      word(now));
}

}  // namespace

std::vector<int64_t> matching_rows(const ClassSet& source, const ClassSet& target) {
  std::vector<int64_t> rows(static_cast<size_t>(std::max<int64_t>(0, target.rows)), -1);
  const int64_t here = target.rows - target.has_null, there = source.rows - source.has_null;
  const bool by_name = !source.names.empty() && !target.names.empty();
  for (int64_t i = 0; i < here; ++i) {
    auto& row = rows[static_cast<size_t>(i)];
    if (!by_name) {
      row = i < there ? i : -1;
    } else if (i < static_cast<int64_t>(target.names.size())) {
      const auto found =
          std::find(source.names.begin(), source.names.end(), target.names[static_cast<size_t>(i)]);
      if (found - source.names.begin() < there) row = found - source.names.begin();
      if (found == source.names.end()) row = -1;
    }
  }
  if (target.has_null && source.has_null && source.rows > 0) rows.back() = source.rows - 1;
  return rows;
}

StartingPoint start_from(const RunConfig& config,
                         const std::vector<std::string>& class_names,
                         TrainState& state,
                         const std::string& data_fingerprint) {
  auto file = open_weights(config.init);
  const auto known = network_of(config, file);
  const ClassSet source{
      known.training.model.input().num_classes,
      known.training.label_dropout > 0 && known.training.model.input().takes_classes(),
      class_names_of(file)},
      target{config.model.input().num_classes, config.label_dropout > 0, class_names};
  const auto rows = matching_rows(source, target);
  const auto fresh = copies(model::named_weights(*state.model));
  const auto transfer = [&](const model::NamedTensors& tensors) {
    return model::transfer_weights({tensors, known.training.model, config.model, fresh, rows});
  };
  auto average = transfer(file.tensors);
  if (auto warning = tokenizer_warning(config, file, data_fingerprint); !warning.empty())
    average.warnings.push_back(std::move(warning));
  const bool keeps = config.init_optimizer == "keep";
  formats::TensorFile saved;
  if (keeps) saved = formats::read_safetensors(state_of(config, file));
  const auto weights = keeps ? transfer(tensors_under(saved.tensors, "model.")) : average;
  for (const auto& set : state.sets()) {
    if (set.prefix == "model.") {
      fill(state, set, weights.tensors);
    } else if (set.prefix == "ema.") {
      fill(state, set, average.tensors);
    } else if (keeps && set.prefix.rfind("optimizer.", 0) == 0) {  // the first step fills the rest
      model::NamedTensors zero;
      for (size_t i = 0; i < state.names.size(); ++i)
        if (set.tensors[i].defined())
          zero.emplace(state.names[i], torch::zeros_like(state.parameters[i].detach().cpu()));
      fill(state,
           set,
           model::transfer_moments(weights, tensors_under(saved.tensors, set.prefix), zero));
    }
  }
  // The moments are warm: their bias correction continues where it was.
  if (keeps) state.step = count_in(saved.metadata, "uvic.step").value_or(0);
  return describe(config, file, known, average, !source.names.empty() && !target.names.empty());
}

}  // namespace uvic::app
