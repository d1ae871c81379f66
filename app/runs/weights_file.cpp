#include "app/runs/weights_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <variant>

#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/runs/network_choice.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "base/tensor_text.h"
#include "base/text_format.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/sha256.h"
#include "data/formats/stored_tensors.h"
#include "data/formats/torch_pickle.h"
#include "model/network.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

constexpr const char* kAverage = "nnet_ema.pth";

std::optional<int64_t> parse_step(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

/// The N of "N.ckpt".
std::optional<int64_t> checkpoint_step(const fs::path& folder) {
  return folder.extension() == ".ckpt" ? parse_step(folder.stem().string()) : std::nullopt;
}

/// The folder N.ckpt of the largest N, or nothing.
fs::path latest_checkpoint(const fs::path& folder) {
  fs::path latest;
  int64_t most = -1;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const auto step = checkpoint_step(entry.path());
    if (step && *step > most && entry.is_directory()) most = *step, latest = entry.path();
  }
  return latest;
}

std::string scalar_text(const formats::PthScalar& scalar) {
  return std::visit([](const auto& value) { return fmt::format("{}", value); }, scalar);
}

/// The step that the official code keeps in a file of its own, N.ckpt/step.pth.
std::optional<int64_t> step_beside(const fs::path& weights) {
  const auto folder = fs::absolute(weights).parent_path();
  if (!base::begins_with(weights.filename().string(), "nnet")) return std::nullopt;
  std::error_code ignored;
  if (fs::is_regular_file(folder / "step.pth", ignored)) {
    const auto file = formats::read_pth_file(folder / "step.pth");
    const auto value = file.scalars.find("");
    if (value != file.scalars.end()) return parse_step(scalar_text(value->second));
  }
  return checkpoint_step(folder);
}

/// The metadata in NAME.json next to NAME.pth, as `uvic convert` writes it for these very bytes;
/// empty if there is none.
std::map<std::string, std::string> metadata_beside(const fs::path& weights) {
  const auto path = fs::path(weights).replace_extension(".json");
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return {};
  nlohmann::json record;
  try {
    record = formats::read_json(path);
  } catch (const std::runtime_error&) {
    return {};  // of another program
  }
  if (!record.is_object() || !record.contains("sha256") || !record.contains("metadata") ||
      record["sha256"] != formats::sha256_file(weights) || !record["metadata"].is_object())
    return {};  // of another file
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : record["metadata"].items())
    if (value.is_string()) metadata.emplace(key, value.get<std::string>());
  return metadata;
}

int64_t parameters_of(const model::NamedTensors& tensors) {
  int64_t total = 0;
  for (const auto& [name, tensor] : tensors) total += tensor.numel();
  return total;
}

/// A shipped config of the same network: its name, or "". Fills `training`.
std::string matching_recipe(const model::NetworkConfig& config, RunConfig& training) {
  std::vector<fs::path> paths;
  try {
    for (const auto& entry : fs::directory_iterator(asset("configs")))
      if (entry.path().extension() == ".toml") paths.push_back(entry.path());
  } catch (const std::exception&) {
    return "";  // the program was copied without its configs: nothing to compare with
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    RunConfig recipe;
    recipe.dataset.image_size = 0;
    read_toml(path, recipe);
    if (!model::same_network(recipe.model, config)) continue;
    training = recipe;
    return path.stem().string();
  }
  return "";
}

/// What no shape says of training and sampling, one text for each option.
template <class Config>
void assume_defaults(const std::string& section, Config config, std::vector<std::string>& assumed) {
  base::visit_leaves(config, [&](const std::string& name, auto& field, const base::Field&) {
    for (const auto* word : {"schedule", "prediction", "sampler", "steps", "grid"})
      if (name == word)
        assumed.push_back(fmt::format("{}.{} = {}", section, name, detail::toml_value(field)));
  });
}

KnownNetwork guessed_config(const WeightsFile& file, const NetworkHints& hints) {
  KnownNetwork network;
  network.training.dataset.image_size = 0;
  network.is_guessed = true;
  auto shapes = hints.shapes;
  // Hugging Face keeps it next to the weights.
  const auto beside = fs::absolute(file.path).parent_path() / "config.json";
  if (std::error_code ignored; fs::is_regular_file(beside, ignored)) shapes.config_json = beside;
  const auto guess = model::guess_config(file.tensors, shapes, file.path.string());
  network.training.model = guess.config;
  network.assumed = guess.assumed;
  network.origin = "guessed from the shapes";
  if (network.training.is_of_sequences()) {  // without diffusion or a recipe
    if (!shapes.config_json.empty()) network.origin = shapes.config_json;
    return network;
  }
  network.recipe = matching_recipe(network.training.model, network.training);
  if (!network.recipe.empty()) {
    network.origin += ", which are those of the shipped config " + network.recipe;
    network.assumed.push_back("diffusion and sampler as in " + network.recipe);
    return network;
  }
  // Latents have 4 channels and the schedule of the published models.
  if (network.training.model.input().channels == 4)
    network.training.diffusion.schedule = "scaled_linear";
  assume_defaults("diffusion", network.training.diffusion, network.assumed);
  assume_defaults("sample", network.training.sample, network.assumed);
  return network;
}

/// The lines "# assumed: ..." of a config that was written from a guess.
std::vector<std::string> assumed_in(const std::string& toml) {
  std::vector<std::string> assumed;
  std::istringstream lines(toml);
  const std::string mark = "# assumed: ";
  for (std::string line; std::getline(lines, line);)
    if (base::begins_with(line, mark)) assumed.push_back(line.substr(mark.size()));
  return assumed;
}

/// RUN and IMAGES of "RUN@IMAGES", where RUN is a run folder.
std::optional<std::pair<fs::path, int64_t>> checkpoint_of_run(const fs::path& source) {
  std::error_code ignored;
  const auto text = source.string();
  const auto at = text.rfind('@');
  if (at == std::string::npos || fs::exists(source, ignored)) return std::nullopt;
  const fs::path folder = text.substr(0, at);
  auto count = text.substr(at + 1);
  if (!RunDir(folder).is_run() || !detail::plain_count(count).empty()) return std::nullopt;
  return std::pair(folder, parse_step(count).value_or(-1));
}

fs::path weights_at(const fs::path& folder, int64_t images) {
  const RunDir run(folder);
  std::string known;
  for (const auto& checkpoint : run.checkpoints()) {
    if (checkpoint.images_seen == images) return checkpoint.path;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", checkpoint.images_seen);
  }
  throw std::runtime_error(fmt::format("{}: no weights of {} images; there are {}",
                                       folder.string(),
                                       images,
                                       known.empty() ? "none" : known));
}

std::string foreign_note(const formats::StoredTensors& read) {
  std::vector<std::string> names;
  for (const auto& name : read.foreign) {
    if (names.size() == 5) {
      names.push_back(fmt::format("and {} more", read.foreign.size() - 5));
      break;
    }
    names.push_back(base::printable_text(name));
  }
  return fmt::format("skipped, without running any of it: values of {}", fmt::join(names, ", "));
}

/// All tensors of the file, metadata, and the tensors' order where it is known.
std::vector<std::string> read_tensors(WeightsFile& file) {
  auto read = formats::read_stored_tensors(file.path);
  file.tensors = std::move(read.tensors);
  file.metadata = std::move(read.metadata);
  file.shards = std::move(read.shards);
  for (const auto& [name, value] : read.scalars)
    file.metadata.emplace("pth." + name, scalar_text(value));
  if (!read.order.empty()) file.metadata.merge(metadata_beside(file.path));
  if (!read.foreign.empty()) file.notes.push_back(foreign_note(read));
  return std::move(read.order);
}

/// Throws where the tensors are not those of the config's network, naming them.
void check_tensors(const WeightsFile& file, const KnownNetwork& network) {
  const int64_t wanted = model::parameter_count(network.training.model),
                found = parameters_of(file.tensors);
  if (wanted == found) return;  // other shapes of as many numbers are found in loading
  constexpr int64_t kLargest = int64_t{1} << 31;  // built to be compared with
  const auto faults = wanted > kLargest
                          ? fmt::format("{} parameters, the network has {}", found, wanted)
                          : model::faults_text(model::weight_faults(
                                *model::make_network(network.training.model), file.tensors));
  throw std::invalid_argument(fmt::format("{}: not the weights of the network {}{}: {}",
                                          file.path.string(),
                                          base::begins_with(network.origin, "guessed") ? "" : "of ",
                                          network.origin,
                                          faults));
}

}  // namespace

fs::path find_weights(const fs::path& source) {
  std::error_code ignored;
  if (const auto checkpoint = checkpoint_of_run(source))
    return weights_at(checkpoint->first, checkpoint->second);
  if (!fs::exists(source, ignored))
    throw std::runtime_error(source.string() + ": no such file or folder");
  if (!fs::is_directory(source, ignored)) return source;
  if (fs::exists(source / kAverage, ignored)) return source / kAverage;
  for (const auto& folder : {source, source / "ckpts"}) {
    const auto latest = latest_checkpoint(folder);
    if (latest.empty()) continue;
    if (fs::exists(latest / kAverage, ignored)) return latest / kAverage;
    throw std::runtime_error(fmt::format(
        "{}: no {}; it was not saved whole, name an earlier folder", latest.string(), kAverage));
  }
  if (fs::is_directory(source / "weights", ignored)) return RunDir(source).latest_weights();
  for (const auto* ending : {".safetensors.index.json", ".safetensors"})
    if (const auto file = formats::only_file(source, ending); !file.empty()) return file;
  throw std::runtime_error(
      fmt::format("{}: a folder without weights; looked for {}, N.ckpt/{}, ckpts/N.ckpt/{}, "
                  "weights/*.safetensors and one *.safetensors",
                  source.string(),
                  kAverage,
                  kAverage,
                  kAverage));
}

WeightsFile open_weights(const fs::path& source, const std::string& prefix) {
  WeightsFile file;
  file.path = find_weights(source);
  const auto checkpoint = checkpoint_of_run(source);
  if (const auto folder = checkpoint ? checkpoint->first : source; RunDir(folder).is_run())
    file.run_folder = folder;
  const auto order = read_tensors(file);
  auto choice = choose_network(std::move(file.tensors), order, prefix, file.path.string());
  file.tensors = std::move(choice.tensors);
  file.prefix = choice.prefix;
  file.left_out = choice.left_out;
  file.is_network = choice.is_network;
  file.notes.insert(file.notes.end(), choice.notes.begin(), choice.notes.end());
  for (const auto* key : {"uvic.step", "pth.step", "pth.global_step"}) {
    const auto found = file.metadata.find(key);
    if (!file.step && found != file.metadata.end()) file.step = parse_step(found->second);
  }
  if (!file.step) file.step = step_beside(file.path);
  return file;
}

std::string weights_sha256(const WeightsFile& file) {
  if (file.shards.empty()) return formats::sha256_file(file.path);
  formats::Sha256 hash;
  for (const auto& shard : file.shards) {
    const auto line =
        fmt::format("{} {}\n", formats::sha256_file(shard), shard.filename().string());
    hash.update(line.data(), line.size());
  }
  return hash.hex();
}

KnownNetwork network_config(const WeightsFile& file, const NetworkHints& hints) {
  KnownNetwork network;
  network.training.dataset.image_size = 0;
  const auto name = file.path.string();
  const auto own = file.metadata.find("uvic.config");
  const auto beside = fs::path(file.path).replace_extension(".toml");
  std::error_code ignored;
  const auto read = [&](const fs::path& path) {
    read_toml(path, network.training);
    network.origin = path.string();
    network.assumed = assumed_in(formats::read_file(path));
  };
  if (!hints.config.empty()) {
    read(find_config(hints.config));
  } else if (own != file.metadata.end()) {
    read_toml_text(own->second, name + ": uvic.config", network.training, /*keep_unknown=*/true);
    network.origin = "the file's own metadata";
    network.assumed = assumed_in(own->second);
  } else if (!file.run_folder.empty()) {
    network.training = read_run_config(RunDir(file.run_folder));
    network.origin = RunDir(file.run_folder).config().string();
  } else if (fs::is_regular_file(beside, ignored)) {
    read(beside);
  } else {
    network = guessed_config(file, hints);
  }
  if (!network.is_guessed) {
    model::ConfigGuess known{network.training.model, network.assumed};
    model::apply_hints(hints.shapes, /*is_guessed=*/false, known);
    network.training.model = known.config;
    network.assumed = known.assumed;
  }
  check_tensors(file, network);
  return network;
}

}  // namespace uvic::app
