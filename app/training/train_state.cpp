#include "app/training/train_state.h"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>
#include <utility>

#include "data/formats/safetensors.h"

namespace uvic::app {
namespace {

constexpr const char* kStateKind = "uvic training state";

// Every set of tensors of the file, with the prefix of its names.
std::vector<std::pair<std::string, std::vector<torch::Tensor>>> sets_of(const TrainState& state) {
  std::vector<std::pair<std::string, std::vector<torch::Tensor>>> sets = {
      {"model.", state.parameters}, {"ema.", state.averages}};
  for (auto& set : state.optimizer->state())
    sets.emplace_back("optimizer." + set.name + ".", std::move(set.tensors));
  return sets;
}

template <class Number>
Number number(const formats::TensorFile& file, const char* key, const std::filesystem::path& path) {
  const auto found = file.metadata.find(key);
  Number value = 0;
  if (found != file.metadata.end()) {
    const auto& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value >= 0) return value;
  }
  throw std::runtime_error(
      fmt::format("{}: no usable {} in its metadata; the file is damaged", path.string(), key));
}

}  // namespace

TrainState::TrainState(const model::NetworkConfig& config,
                       const OptimizerConfig& optimizer_config,
                       uint64_t seed,
                       torch::Device device) {
  torch::manual_seed(seed);
  model = model::make_network(config);
  ema = model::make_network(config);
  model->to(device);
  ema->to(device);
  const torch::NoGradGuard no_grad;
  for (const auto& item : model->named_parameters()) {
    names.push_back(item.key());
    parameters.push_back(item.value());
  }
  auto averaged = ema->named_parameters();
  for (size_t i = 0; i < names.size(); ++i) {
    averages.push_back(averaged[names[i]].requires_grad_(false));
    averages.back().copy_(parameters[i]);
  }
  OptimizedTensors tensors{parameters, averages};
  for (const auto& name : names) tensors.matrices.push_back(model->stacked_matrices(name));
  optimizer = optimizer_kinds().at(optimizer_config.kind).make(optimizer_config, tensors);
}

void TrainState::save(const std::filesystem::path& path,
                      std::map<std::string, std::string> metadata) const {
  formats::TensorFile file;
  for (const auto& [prefix, tensors] : sets_of(*this))
    for (size_t i = 0; i < names.size(); ++i)
      if (tensors[i].defined()) file.tensors[prefix + names[i]] = tensors[i].detach();
  file.metadata = std::move(metadata);
  file.metadata["uvic.kind"] = kStateKind;
  file.metadata["uvic.step"] = fmt::format("{}", step);
  file.metadata["uvic.images_seen"] = fmt::format("{}", images_seen);
  file.metadata["uvic.elapsed_sec"] = fmt::format("{}", elapsed_sec);
  if (std::isfinite(loss)) {
    file.metadata["uvic.loss"] = fmt::format("{}", loss);
    file.metadata["uvic.loss_is_sane"] = loss_is_sane() ? "true" : "false";
  }
  if (std::isfinite(lowest_loss))
    file.metadata["uvic.lowest_loss"] = fmt::format("{}", lowest_loss);
  formats::write_safetensors(path, file);
}

void TrainState::load(const std::filesystem::path& path) {
  const auto file = formats::read_safetensors(path);
  const auto kind = file.metadata.find("uvic.kind");
  if (kind == file.metadata.end() || kind->second != kStateKind)
    throw std::runtime_error(
        fmt::format("{}: not a training state; remove it or choose another --out", path.string()));
  const torch::NoGradGuard no_grad;
  const auto sets = sets_of(*this);
  size_t expected = 0;
  for (const auto& [prefix, tensors] : sets)
    for (size_t i = 0; i < names.size(); ++i) {
      if (!tensors[i].defined()) continue;
      ++expected;
      const auto found = file.tensors.find(prefix + names[i]);
      if (found == file.tensors.end())
        throw std::runtime_error(
            fmt::format("{}: no {}{}; it is the state of another model; choose another --out",
                        path.string(),
                        prefix,
                        names[i]));
      if (found->second.sizes() != tensors[i].sizes() ||
          found->second.scalar_type() != tensors[i].scalar_type())
        throw std::runtime_error(
            fmt::format("{}: {}{} is {} {}, the model wants {} {}; it is the state of another "
                        "model; choose another --out",
                        path.string(),
                        prefix,
                        names[i],
                        toString(found->second.scalar_type()),
                        c10::str(found->second.sizes()),
                        toString(tensors[i].scalar_type()),
                        c10::str(tensors[i].sizes())));
    }
  if (file.tensors.size() != expected)
    throw std::runtime_error(
        fmt::format("{}: {} tensors, the model's state has {}; it is the state of another model",
                    path.string(),
                    file.tensors.size(),
                    expected));
  for (const auto& [prefix, tensors] : sets)
    for (size_t i = 0; i < names.size(); ++i)
      if (tensors[i].defined()) torch::Tensor(tensors[i]).copy_(file.tensors.at(prefix + names[i]));
  step = number<int64_t>(file, "uvic.step", path);
  images_seen = number<int64_t>(file, "uvic.images_seen", path);
  elapsed_sec = number<double>(file, "uvic.elapsed_sec", path);
  // States of earlier versions have neither.
  if (file.metadata.count("uvic.loss")) loss = number<double>(file, "uvic.loss", path);
  if (file.metadata.count("uvic.lowest_loss"))
    lowest_loss = number<double>(file, "uvic.lowest_loss", path);
}

void TrainState::save_weights(const std::filesystem::path& path,
                              std::map<std::string, std::string> metadata) const {
  formats::TensorFile file;
  for (size_t i = 0; i < names.size(); ++i) file.tensors[names[i]] = averages[i].detach();
  file.metadata = std::move(metadata);
  file.metadata["format"] = "pt";
  file.metadata["uvic.kind"] = "uvic weights";
  file.metadata["uvic.step"] = fmt::format("{}", step);
  file.metadata["uvic.images_seen"] = fmt::format("{}", images_seen);
  formats::write_safetensors(path, file);
}

}  // namespace uvic::app
