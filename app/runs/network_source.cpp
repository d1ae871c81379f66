#include "app/runs/network_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/options/suggestion.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/runs/text_encoder.h"
#include "app/runs/weights_file.h"
#include "base/check.h"
#include "base/list_text.h"
#include "base/process.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/json_fields.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

/// The config of the network in a weight file. Throws std::invalid_argument where neither the file
/// nor what is next to it says, nor the shapes are a published network's. `assumed`, where given,
/// receives the assumptions, which then go to stderr too.
RunConfig training_of_weights(const WeightsFile& file,
                              const std::string& config,
                              std::vector<std::string>* assumed = nullptr) {
  NetworkHints hints;
  hints.config = config;
  try {
    auto network = network_config(file, hints);
    const bool tokens = network.training.is_of_sequences();  // there all follows from the shapes
    if (!network.is_guessed || !network.recipe.empty() || tokens) {
      if (!assumed) return network.training;
      if (network.is_guessed && !tokens)
        fmt::print(stderr, "{}: has the shapes of {}\n", file.path.string(), network.recipe);
      for (const auto& one : network.assumed) fmt::print(stderr, "assumed: {}\n", one);
      *assumed = network.assumed;
      return network.training;
    }
  } catch (const model::UnknownNetwork&) {
  }
  throw std::invalid_argument(
      fmt::format("{}: does not say the config that it was trained with; pass --config, or \"uvic "
                  "convert {} NAME.safetensors --num_heads N\" writes a file that holds its config",
                  file.path.string(),
                  base::shell_word(file.path.string())));
}

/// The run's config against what its weights say of themselves.
void check_config_of_run(const std::string& run, const RunConfig& config, const WeightsFile& file) {
  RunConfig own;
  if (!read_own_config(file.metadata, file.path.string(), own)) return;
  const auto difference = difference_of_meaning(own, config);
  if (!difference.empty())
    throw std::invalid_argument(
        fmt::format("{}: the config of the run is not that of its weights {}: {}; to sample them "
                    "with the config that they were trained with, pass --weights without --run",
                    run,
                    file.path.string(),
                    difference));
}

void take_weights(WeightsFile file, SampleSource& source) {
  for (const auto& note : file.notes) fmt::print(stderr, "{}: {}\n", file.path.string(), note);
  source.weights_sha256 = weights_sha256(file);
  source.weights = file.path;
  source.tensors = std::move(file.tensors);
  if (const auto names = file.metadata.find("uvic.class_names"); names != file.metadata.end())
    source.class_names =
        formats::parse_texts(names->second, source.weights.string(), "uvic.class_names");
  if (const auto seen = file.metadata.find("uvic.images_seen"); seen != file.metadata.end())
    source.images_seen = std::atoll(seen->second.c_str());
  if (const auto run = file.metadata.find("uvic.run_id"); run != file.metadata.end())
    source.run_id = run->second;
}

// Everything that makes alpha and sigma.
std::string schedule_of(diffusion::DiffusionConfig config) {
  std::string text;
  for (const auto& leaf : base::leaves_of(config))
    for (const auto* part :
         {"schedule", "beta_0", "beta_1", "diffusion_steps", "cosine_s", "sigma_min", "sigma_max"})
      if (leaf.name == part) text += leaf.text() + " ";
  return text;
}

/// Features of CLIP and vectors of words may have one width, and mean nothing to each other's
/// networks.
void require_kind_of_text(const std::string& given, const std::string& trained_with) {
  const bool words = trained_with == kWordEncoder;
  base::require(given.empty() || trained_with.empty() || (given == kWordEncoder) == words,
                "--text_encoder {}: the network was trained with {}",
                given,
                words ? "words, the embedded one" : trained_with);
}

/// Latents of another scale or shift than the network's would be decoded to other images.
void require_own_scale(const EncoderConfig& given, const EncoderConfig& own) {
  base::require(
      !own.is_latent() || given.latent_scale == 0 || given.latent_scale == own.latent_scale,
      "--latent_scale {}: leave it out; the network was trained with {}",
      given.latent_scale,
      own.latent_scale);
  base::require(
      !own.is_latent() || given.latent_shift == 0 || given.latent_shift == own.latent_shift,
      "--latent_shift {}: leave it out; the network was trained with {}",
      given.latent_shift,
      own.latent_shift);
}

}  // namespace

model::NetworkPtr SampleSource::network(torch::Device device, torch::Dtype compute_dtype) const {
  auto network = model::make_network(training.model);
  model::load_weights(*network, tensors, weights.string());
  network->to(device);
  network->set_compute_dtype(compute_dtype);
  network->eval();
  return network;
}

RunConfig training_of_source(const std::string& run,
                             const std::string& weights,
                             const std::string& config) {
  if (run.empty() && config.empty()) return training_of_weights(open_weights(weights), "");
  if (!run.empty()) return read_run_config(RunDir(run));
  RunConfig training;
  read_toml(find_config(config), training);
  return training;
}

SampleSource open_sample_source(const std::string& run,
                                const std::string& weights,
                                const std::string& config,
                                const EncoderConfig& encoders) {
  SampleSource source;
  if (!run.empty()) source.training = training_of_source(run, weights, config);
  auto file = open_weights(weights.empty() ? RunDir(run).latest_weights() : fs::path(weights));
  if (run.empty())
    source.training = training_of_weights(file, config, &source.assumed);
  else
    check_config_of_run(run, source.training, file);
  take_weights(std::move(file), source);
  auto& training = source.training;
  if (training.is_of_sequences()) {
    training.encoders.override_with(encoders);
    encoders.require_used_by(training.model.input());
    return source;
  }
  require_kind_of_text(encoders.text_encoder, training.encoders.text_encoder);
  if (config.empty()) require_own_scale(encoders, training.encoders);
  training.encoders.override_with(encoders);
  base::require(
      training.encoders.is_latent() || training.model.input().channels == 3,
      "{}: generates {} channels, but images have 3; for a network on latents give its "
      "--latent_scale (0.18215 in the official ImageNet models, 0.2301 in those of MS-COCO)",
      source.weights.string(),
      training.model.input().channels);
  training.encoders.require_used_by(training.model.input());
  return source;
}

void keep_encoders(const std::string& run, const EncoderConfig& encoders) {
  if (run.empty()) return;
  const RunDir folder(run);
  auto config = read_run_config(folder);
  auto kept = config.encoders;
  kept.autoencoder = encoders.autoencoder;
  kept.text_encoder = encoders.text_encoder;
  kept.tokenizer = encoders.tokenizer;
  if (config.encoders == kept) return;
  config.encoders = kept;
  formats::write_file_atomically(folder.config(), to_toml(config));
}

SampleSource open_guide(const std::string& guide,
                        const std::string& guide_config,
                        const SampleSource& guided) {
  SampleSource source;
  std::error_code ignored;
  if (fs::is_directory(guide, ignored)) {
    if (!guide_config.empty())
      throw std::invalid_argument(
          "--guide_config describes a weight file; a run folder has its own config");
    source = open_sample_source(guide, "", "");
  } else {
    auto file = open_weights(guide);
    const bool tells = !guide_config.empty() || file.metadata.count("uvic.config") > 0;
    source.training =
        tells ? training_of_weights(file, guide_config, &source.assumed) : guided.training;
    take_weights(std::move(file), source);
  }
  const auto refuse = [&](const std::string& why) {
    throw std::invalid_argument(fmt::format("--guide {}: {}", guide, why));
  };
  const auto &own = source.training, &other = guided.training;
  if (source.weights_sha256 == guided.weights_sha256)
    refuse(
        "the same weights as those that it would guide; give weaker ones, such as an earlier "
        "checkpoint");
  if (schedule_of(own.diffusion) != schedule_of(other.diffusion))
    refuse(
        fmt::format("trained on another noise schedule ({}) than the network that it guides ({})",
                    own.diffusion.schedule,
                    other.diffusion.schedule));
  if (own.model.input().size != other.model.input().size ||
      own.model.input().channels != other.model.input().channels)
    refuse(fmt::format("generates images of {} px, the network that it guides {} px",
                       own.model.input().size,
                       other.model.input().size));
  if (own.model.input().num_classes > 0 &&
      (own.model.input().num_classes != other.model.input().num_classes ||
       has_null_class(own) != has_null_class(other)))
    refuse("has other classes than the network that it guides");
  return source;
}

void check_guidance(const diffusion::GuidanceConfig& guidance, const RunConfig& training) {
  base::require(
      guidance.guidance_scale == 1 || has_null_class(training) || has_empty_context(training),
      "--guidance_scale {}: the network was trained without label_dropout and has no null "
      "class or empty context",
      guidance.guidance_scale);
}

std::vector<int64_t> chosen_classes(const std::string& text, const SampleSource& source) {
  const bool has_null = has_null_class(source.training);
  auto all = all_classes(source.training.model.input(), has_null);
  // Of a network with room for more classes than its images had, the rest was never trained.
  if (!source.class_names.empty()) all.resize(std::min(all.size(), source.class_names.size()));
  if (text.empty()) return all;
  if (all.empty())
    throw std::invalid_argument("--labels: the network takes no classes (model.num_classes is -1)");
  std::vector<int64_t> chosen;
  for (auto word : base::list_items(text)) {
    int64_t label = -1;
    // Class folders may be named by numbers: then a number alone may mean two classes.
    const bool by_index = word.rfind("index:", 0) == 0, by_name = word.rfind("name:", 0) == 0;
    if (by_index || by_name) word = word.substr(word.find(':') + 1);
    const auto named = std::find(source.class_names.begin(), source.class_names.end(), word);
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), label);
    const bool is_number = !by_name && !base::has_leading_zero(word) && error == std::errc() &&
                           end == word.data() + word.size();
    const bool is_index = is_number && label >= 0 && label < static_cast<int64_t>(all.size());
    const bool is_name = !by_index && named != source.class_names.end();
    if (is_index && is_name && named - source.class_names.begin() != label)
      throw std::invalid_argument(
          fmt::format("--labels {0}: class {0} is named {1}, and the class named {0} is class {2}; "
                      "write index:{0} or name:{0}",
                      word,
                      source.class_names[static_cast<size_t>(label)],
                      named - source.class_names.begin()));
    if (is_number && !is_index && !is_name)
      throw std::invalid_argument(
          fmt::format("--labels {}: classes are 0 to {}", word, all.size() - 1));
    if (!is_index && is_name) {
      label = named - source.class_names.begin();
    } else if (!is_index && word == "none") {
      if (!has_null)
        throw std::invalid_argument(
            "--labels none: the network was trained without label_dropout and has no null class");
      label = source.training.model.input().num_classes - 1;
    } else if (!is_index) {
      const auto near = nearest(word, source.class_names);
      throw std::invalid_argument(fmt::format(
          "--labels {}: no such class{}; classes are {}",
          word,
          near.empty() ? "" : "; did you mean " + near + "?",
          source.class_names.empty() ? fmt::format("0 to {}", all.size() - 1)
                                     : fmt::format("{}", fmt::join(source.class_names, ", "))));
    }
    chosen.push_back(label);
  }
  return chosen;
}

}  // namespace uvic::app
