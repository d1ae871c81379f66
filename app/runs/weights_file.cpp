#include "app/runs/weights_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string_view>
#include <variant>

#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/runs/run_dir.h"
#include "base/tensor_text.h"
#include "data/formats/file_kind.h"
#include "data/formats/json.h"
#include "data/formats/safetensors.h"
#include "data/formats/sha256.h"
#include "data/formats/torch_pickle.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

constexpr const char* kAverage = "nnet_ema.pth";

bool begins_with(std::string_view text, std::string_view beginning) {
  return text.substr(0, beginning.size()) == beginning;
}

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
  if (!begins_with(weights.filename().string(), "nnet")) return std::nullopt;
  std::error_code ignored;
  if (fs::is_regular_file(folder / "step.pth", ignored)) {
    const auto file = formats::read_pth_file(folder / "step.pth");
    const auto value = file.scalars.find("");
    if (value != file.scalars.end()) return parse_step(scalar_text(value->second));
  }
  return checkpoint_step(folder);
}

/// The metadata in NAME.json beside NAME.pth, as `uvic convert` writes it for these very bytes;
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

/// Everything that stands before a network's names, as "" or "ema.".
std::set<std::string> network_prefixes(const model::NamedTensors& tensors) {
  std::set<std::string> prefixes;
  const auto marks = model::network_marks();
  for (const auto& [name, tensor] : tensors)
    for (const std::string_view mark : marks) {
      if (name.size() < mark.size()) continue;
      const auto at = name.size() - mark.size();
      if (std::string_view(name).substr(at) == mark && (at == 0 || name[at - 1] == '.'))
        prefixes.insert(name.substr(0, at));
    }
  return prefixes;
}

std::string choose_prefix(const std::set<std::string>& prefixes,
                          const std::string& wanted,
                          const fs::path& path) {
  if (!wanted.empty()) {
    const auto dotted = wanted.back() == '.' ? wanted : wanted + ".";
    if (prefixes.count(dotted)) return dotted;
    throw std::invalid_argument(fmt::format(
        "{}: no network under {}; it holds {}",
        path.string(),
        wanted,
        prefixes.empty() ? "none"
                         : base::printable_text(fmt::format("{}", fmt::join(prefixes, ", ")))));
  }
  if (prefixes.size() <= 1) return prefixes.empty() ? "" : *prefixes.begin();
  std::vector<std::string> averages;
  for (const auto& prefix : prefixes)
    if (prefix.find("ema") != std::string::npos) averages.push_back(prefix);
  if (averages.size() == 1) return averages.front();
  throw std::runtime_error(
      fmt::format("{}: holds several networks, {}; say which by --prefix",
                  path.string(),
                  base::printable_text(fmt::format("\"{}\"", fmt::join(prefixes, "\", \"")))));
}

void select_network(WeightsFile& file, const std::string& wanted) {
  const auto prefixes = network_prefixes(file.tensors);
  file.prefix = choose_prefix(prefixes, wanted, file.path);
  file.is_network = !prefixes.empty();
  if (file.prefix.empty()) return;
  model::NamedTensors chosen;
  for (const auto& [name, tensor] : file.tensors)
    if (begins_with(name, file.prefix)) chosen.emplace(name.substr(file.prefix.size()), tensor);
  file.left_out = static_cast<int64_t>(file.tensors.size() - chosen.size());
  file.tensors = std::move(chosen);
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

KnownNetwork guessed_config(const WeightsFile& file, const NetworkHints& hints) {
  KnownNetwork network;
  network.training.dataset.image_size = 0;
  network.is_guessed = true;
  const auto guess = model::guess_config(file.tensors, hints.shapes, file.path.string());
  network.training.model = guess.config;
  network.assumed = guess.assumed;
  network.origin = "guessed from the shapes";
  network.recipe = matching_recipe(network.training.model, network.training);
  if (!network.recipe.empty()) {
    network.origin += ", which are those of the shipped config " + network.recipe;
  } else if (network.training.model.input().channels == 4) {
    network.training.diffusion.schedule = "scaled_linear";
    network.assumed.push_back(
        "diffusion.schedule = scaled_linear (latents, as in the published models)");
  }
  return network;
}

}  // namespace

fs::path find_weights(const fs::path& source) {
  std::error_code ignored;
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
  throw std::runtime_error(
      fmt::format("{}: a folder without weights; looked for {}, N.ckpt/{}, ckpts/N.ckpt/{} and "
                  "weights/*.safetensors",
                  source.string(),
                  kAverage,
                  kAverage,
                  kAverage));
}

WeightsFile open_weights(const fs::path& source, const std::string& prefix) {
  WeightsFile file;
  file.path = find_weights(source);
  std::error_code ignored;
  if (const auto config = source / "config.toml";
      fs::is_directory(source, ignored) && fs::exists(config, ignored))
    file.run_config = config;
  const auto mapped = formats::MappedFile::open(file.path);
  switch (formats::file_kind(mapped)) {
    case formats::FileKind::kSafetensors: {
      auto read = formats::read_safetensors(mapped);
      file.tensors = std::move(read.tensors);
      file.metadata = std::move(read.metadata);
      break;
    }
    case formats::FileKind::kPth:
    case formats::FileKind::kTorchScript: {
      auto read = formats::read_pth_file(mapped);
      file.tensors = std::move(read.tensors);
      for (const auto& [name, value] : read.scalars)
        file.metadata.emplace("pth." + name, scalar_text(value));
      file.metadata.merge(metadata_beside(file.path));
      break;
    }
    default:
      throw std::runtime_error(
          fmt::format("{}: neither safetensors nor a file of torch.save", file.path.string()));
  }
  if (file.tensors.empty())
    throw std::runtime_error(fmt::format("{}: holds no tensor", file.path.string()));
  select_network(file, prefix);
  for (const auto* key : {"uvic.step", "pth.step", "pth.global_step"}) {
    const auto found = file.metadata.find(key);
    if (!file.step && found != file.metadata.end()) file.step = parse_step(found->second);
  }
  if (!file.step) file.step = step_beside(file.path);
  return file;
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
  };
  if (!hints.config.empty()) {
    read(find_config(hints.config));
  } else if (own != file.metadata.end()) {
    read_toml_text(own->second, name + ": uvic.config", network.training, /*keep_unknown=*/true);
    network.origin = "the file's own metadata";
  } else if (!file.run_config.empty()) {
    read(file.run_config);
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
  const int64_t wanted = model::parameter_count(network.training.model),
                found = parameters_of(file.tensors);
  if (wanted != found)
    throw std::invalid_argument(
        fmt::format("{}: {} parameters, the network of the config ({}) has {}; pass the config it "
                    "was trained with",
                    name,
                    found,
                    network.origin,
                    wanted));
  return network;
}

}  // namespace uvic::app
