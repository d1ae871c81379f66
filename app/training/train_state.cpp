#include "app/training/train_state.h"

#include <fmt/format.h>

#include <charconv>
#include <stdexcept>
#include <utility>

#include "app/runs/power_profile.h"
#include "data/formats/safetensors.h"
#include "model/rate_factors.h"

namespace uvic::app {
namespace {

constexpr const char* kStateKind = "uvic training state";
constexpr const char *kModelSet = "model.", *kAverageSet = "ema.";
const std::string kHeadPrefix = "alignment_head.";

/// A tensor of a shared state that another process has.
void leave_to_owner(torch::Tensor tensor) { tensor.set_data(torch::empty({0}, tensor.options())); }

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
                       torch::Device device,
                       base::ProcessGroup* group,
                       int64_t head_width) {
  torch::manual_seed(seed);
  model = model::make_network(config);
  model->to(device);
  for (const auto& item : model->named_parameters()) {
    names.push_back(item.key());
    parameters.push_back(item.value());
  }
  if (head_width > 0) add_head(head_width, device);
  if (group) shares = std::make_unique<StateShares>(*group, parameters);
  ema = model::make_network(config);
  ema->to(device);
  const torch::NoGradGuard no_grad;
  auto averaged = ema->named_parameters();
  for (size_t i = 0; i < names.size(); ++i) {
    auto* const own = averaged.find(names[i]);  // null: of the head
    averages.push_back(own ? own->requires_grad_(false)
                           : torch::empty_like(parameters[i].detach()));
    if (!shares || shares->is_own(i))
      averages.back().copy_(parameters[i]);
    else
      leave_to_owner(averages.back());
  }
  OptimizedTensors tensors{parameters, averages};
  if (shares) tensors.own = shares->own();
  for (const auto& name : names) tensors.matrices.push_back(model->stacked_matrices(name));
  tensors.rate_factors = model::rate_factors(config, names);
  optimizer = optimizer_kinds().at(optimizer_config.kind).make(optimizer_config, tensors);
}

TrainState::TrainState(const RunConfig& config, torch::Device device, base::ProcessGroup* group)
    : TrainState(config.model,
                 config.optimizer,
                 static_cast<uint64_t>(config.seed),
                 device,
                 group,
                 alignment_width(config)) {
  const torch::NoGradGuard no_grad;
  for (const double width : parse_widths(config.ema_power)) {
    power_averages.push_back({width, power_of_width(width), {}});
    for (const auto& average : of_network(averages))
      power_averages.back().tensors.push_back(average.defined() ? average.detach().clone()
                                                                : torch::Tensor());
  }
}

void TrainState::add_head(int64_t width, torch::Device device) {
  head = AlignmentHead(width);
  head->to(device);
  for (const auto& item : head->named_parameters()) {
    names.push_back(kHeadPrefix + item.key());
    parameters.push_back(item.value());
  }
}

/// Nobody reads an average of the head.
std::vector<torch::Tensor> TrainState::of_network(std::vector<torch::Tensor> tensors) const {
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i].rfind(kHeadPrefix, 0) == 0) tensors[i] = torch::Tensor();
  return tensors;
}

void TrainState::update_power_averages(int64_t batch_images) {
  const torch::NoGradGuard no_grad;
  for (const auto& average : power_averages) {
    const double keep = power_decay(average.power, images_seen, batch_images);
    for (size_t i = 0; i < parameters.size(); ++i)
      if (average.tensors[i].defined() && (!shares || shares->is_own(i)))
        torch::Tensor(average.tensors[i]).lerp_(parameters[i], 1 - keep);
  }
}

double TrainState::update(const OptimizerStep& step) {
  const double norm = optimizer->step(step);
  if (shares) shares->share_parameters();
  return norm;
}

void TrainState::with_whole_average(bool here, const std::function<void()>& work) {
  if (!shares) return work();
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < averages.size(); ++i) {
    const auto whole = shares->whole(averages[i], i);
    if (here && !shares->is_own(i)) averages[i].set_data(whole);
  }
  work();
  for (size_t i = 0; i < averages.size(); ++i)
    if (!shares->is_own(i)) leave_to_owner(averages[i]);
}

std::vector<TrainState::Set> TrainState::sets() const {
  std::vector<Set> sets = {{kModelSet, parameters}, {kAverageSet, of_network(averages)}};
  for (const auto& average : power_averages)
    sets.push_back({fmt::format("power.{}.", average.width), average.tensors});
  for (auto& set : optimizer->state())
    sets.push_back({"optimizer." + set.name + ".", std::move(set.tensors)});
  return sets;
}

void TrainState::fill(const Set& set, size_t parameter, const torch::Tensor& value) {
  const torch::NoGradGuard no_grad;
  if (shares && set.prefix != kModelSet) {
    shares->stage(set.prefix, names[parameter], value);
    if (!shares->is_own(parameter)) return;
  }
  torch::Tensor(set.tensors[parameter]).copy_(value);
}

std::map<std::string, formats::MadeTensor> TrainState::made_tensors(
    const Set& set, const std::string& prefix) const {
  std::map<std::string, formats::MadeTensor> made;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto& own = set.tensors[i];
    if (!own.defined()) continue;
    const bool is_here = !shares || set.prefix == kModelSet;
    made[prefix + names[i]] = {
        own.scalar_type(), parameters[i].sizes().vec(), [this, own, i, is_here] {
          return is_here ? own : shares->whole(own, i);
        }};
  }
  return made;
}

void TrainState::write(const std::filesystem::path& path,
                       const std::map<std::string, formats::MadeTensor>& tensors,
                       std::map<std::string, std::string> metadata) const {
  if (writes()) return formats::write_safetensors(path, tensors, std::move(metadata));
  for (const auto& [name, tensor] : tensors) tensor.make();  // all float32: the file's order
}

void TrainState::save(const std::filesystem::path& path,
                      std::map<std::string, std::string> metadata) const {
  std::map<std::string, formats::MadeTensor> tensors;
  for (const auto& set : sets()) tensors.merge(made_tensors(set, set.prefix));
  metadata["uvic.kind"] = kStateKind;
  metadata["uvic.step"] = fmt::format("{}", step);
  metadata["uvic.images_seen"] = fmt::format("{}", images_seen);
  metadata["uvic.elapsed_sec"] = fmt::format("{}", elapsed_sec);
  if (std::isfinite(loss)) {
    metadata["uvic.loss"] = fmt::format("{}", loss);
    metadata["uvic.loss_is_sane"] = loss_is_sane() ? "true" : "false";
  }
  if (std::isfinite(lowest_loss)) metadata["uvic.lowest_loss"] = fmt::format("{}", lowest_loss);
  write(path, tensors, std::move(metadata));
}

void TrainState::load(const std::filesystem::path& path) {
  const auto file = formats::read_safetensors(path);
  const auto kind = file.metadata.find("uvic.kind");
  if (kind == file.metadata.end() || kind->second != kStateKind)
    throw std::runtime_error(
        fmt::format("{}: not a training state; remove it or choose another --out", path.string()));
  const torch::NoGradGuard no_grad;
  const auto all = sets();
  size_t expected = 0;
  for (const auto& [prefix, tensors] : all)
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
      if (found->second.sizes() != parameters[i].sizes() ||
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
                        c10::str(parameters[i].sizes())));
    }
  if (file.tensors.size() != expected)
    throw std::runtime_error(
        fmt::format("{}: {} tensors, the model's state has {}; it is the state of another model",
                    path.string(),
                    file.tensors.size(),
                    expected));
  for (const auto& set : all)
    for (size_t i = 0; i < names.size(); ++i)
      if (set.tensors[i].defined()) fill(set, i, file.tensors.at(set.prefix + names[i]));
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
  write_average(path, averages, std::move(metadata));
}

void TrainState::save_power_averages(
    const std::function<std::filesystem::path(double width)>& path_of,
    const std::map<std::string, std::string>& metadata) const {
  for (const auto& average : power_averages) {
    auto own = metadata;
    own["uvic.ema_width"] = fmt::format("{}", average.width);
    write_average(writes() ? path_of(average.width) : "", average.tensors, std::move(own));
  }
}

void TrainState::write_average(const std::filesystem::path& path,
                               const std::vector<torch::Tensor>& tensors,
                               std::map<std::string, std::string> metadata) const {
  metadata["format"] = "pt";
  metadata["uvic.kind"] = "uvic weights";
  metadata["uvic.step"] = fmt::format("{}", step);
  metadata["uvic.images_seen"] = fmt::format("{}", images_seen);
  write(path, made_tensors({kAverageSet, of_network(tensors)}, ""), std::move(metadata));
}

}  // namespace uvic::app
