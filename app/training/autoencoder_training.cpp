#include "app/training/autoencoder_training.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <stdexcept>

#include "base/check.h"
#include "base/position_random.h"
#include "data/formats/safetensors.h"
#include "data/loader.h"
#include "data/pixel_range.h"
#include "model/latent/autoencoder_kl.h"

namespace uvic::app {
namespace {

constexpr const char* kAutoencoderKind = "training state of an autoencoder";

std::vector<int64_t> read_multipliers(const std::string& text) {
  std::vector<int64_t> result;
  const char* at = text.data();
  const char* end = at + text.size();
  while (true) {
    int64_t value = 0;
    const auto [after, error] = std::from_chars(at, end, value);
    base::require(error == std::errc() && value > 0 && value <= 1024 &&
                      (after == end || (*after == ',' && after + 1 != end)),
                  "model.multipliers is \"{}\"; give whole numbers such as 1,2,4,4",
                  text);
    result.push_back(value);
    if (after == end) return result;
    at = after + 1;
  }
}

/// KL divergence of N(mean, exp(logvar)) to N(0, 1), in nats, mean over all numbers.
torch::Tensor mean_kl(const torch::Tensor& mean, const torch::Tensor& logvar) {
  return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean();
}

double number_in(const formats::TensorFile& file,
                 const char* key,
                 const std::filesystem::path& path) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end())
    throw std::runtime_error(fmt::format("{}: no {} in its metadata", path.string(), key));
  return std::strtod(found->second.c_str(), nullptr);
}

}  // namespace

model::AutoencoderKlConfig AutoencoderShape::config() const {
  model::AutoencoderKlConfig config;
  config.base_channels = base_channels;
  config.multipliers = read_multipliers(multipliers);
  config.blocks = blocks;
  config.latent_channels = config.inner_channels = latent_channels;
  config.norm_groups = norm_groups;
  config.mid_attention = mid_attention;
  config.validate();
  return config;
}

AutoencoderTraining::AutoencoderTraining(const model::AutoencoderKlConfig& config,
                                         const OptimizerConfig& optimizer,
                                         double kl_weight,
                                         uint64_t seed,
                                         torch::Device device)
    : net_(config),
      latent_channels_(config.latent_channels),
      downsampling_(config.downsampling()),
      kl_share_(
          kl_weight * static_cast<double>(config.latent_channels) /
          static_cast<double>(config.in_channels * config.downsampling() * config.downsampling())),
      seed_(seed),
      device_(device) {
  torch::manual_seed(seed);
  net_->initialise();
  net_->to(device);
  for (const auto& item : net_->named_parameters()) {
    names_.push_back(item.key());
    parameters_.push_back(item.value());
  }
  // No average of the weights: a learning rate that falls to 0 does its work. The optimizer wants
  // one, and gets a copy that a decay of 1 leaves alone.
  std::vector<torch::Tensor> averages;
  for (const auto& p : parameters_) averages.push_back(p.detach().clone());
  optimizer_ = optimizer_kinds().at(optimizer.kind).make(optimizer, {parameters_, averages});
}

AutoencoderTraining::Terms AutoencoderTraining::terms(const torch::Tensor& x,
                                                      const torch::Tensor& noise) {
  const auto moments = net_->moments(x).chunk(2, 1);
  const auto logvar = moments[1].clamp(-30, 20);
  const auto z = noise.defined() ? moments[0] + (0.5 * logvar).exp() * noise : moments[0];
  return {(net_->image(z) - x).abs().mean(), mean_kl(moments[0], logvar)};
}

AutoencoderLoss AutoencoderTraining::step(const data::Batch& batch, double learning_rate) {
  const auto x = data::to_network_range(batch.images).to(device_);
  const auto noise =
      base::PositionRandom(seed_, batch.positions)
          .normals(base::RandomUse::kNoise,
                   {latent_channels_, x.size(2) / downsampling_, x.size(3) / downsampling_})
          .to(device_);
  const auto parts = terms(x, noise);
  const auto loss = parts.l1 + kl_share_ * parts.kl;
  loss.backward();
  OptimizerStep step;
  step.lr = learning_rate;
  step.ema_decay = 1;
  step.number = steps_ + 1;
  optimizer_->step(step);
  ++steps_;
  images_seen += x.size(0);
  return {loss.item<double>(), parts.l1.item<double>(), parts.kl.item<double>()};
}

AutoencoderLoss AutoencoderTraining::evaluate(const torch::Tensor& images) {
  const torch::NoGradGuard no_grad;
  const auto parts = terms(data::to_network_range(images).to(device_), {});
  const double l1 = parts.l1.item<double>(), kl = parts.kl.item<double>();
  return {l1 + kl_share_ * kl, l1, kl};
}

void AutoencoderTraining::save(const std::filesystem::path& path,
                               std::map<std::string, std::string> metadata) const {
  formats::TensorFile file;
  for (size_t i = 0; i < names_.size(); ++i)
    file.tensors["model." + names_[i]] = parameters_[i].detach();
  for (const auto& set : optimizer_->state())
    for (size_t i = 0; i < names_.size(); ++i)
      if (set.tensors[i].defined())
        file.tensors[fmt::format("optimizer.{}.{}", set.name, names_[i])] = set.tensors[i];
  file.metadata = std::move(metadata);
  file.metadata["uvic.kind"] = kAutoencoderKind;
  file.metadata["uvic.step"] = fmt::format("{}", steps_);
  file.metadata["uvic.images_seen"] = fmt::format("{}", images_seen);
  formats::write_safetensors(path, file);
}

std::map<std::string, std::string> AutoencoderTraining::load(const std::filesystem::path& path) {
  const auto file = formats::read_safetensors(path);
  const auto kind = file.metadata.find("uvic.kind");
  if (kind == file.metadata.end() || kind->second != kAutoencoderKind)
    throw std::runtime_error(fmt::format(
        "{}: not the {}; remove it or choose another --out", path.string(), kAutoencoderKind));
  std::map<std::string, torch::Tensor> targets;
  for (size_t i = 0; i < names_.size(); ++i) targets["model." + names_[i]] = parameters_[i];
  for (const auto& set : optimizer_->state())
    for (size_t i = 0; i < names_.size(); ++i)
      if (set.tensors[i].defined())
        targets[fmt::format("optimizer.{}.{}", set.name, names_[i])] = set.tensors[i];
  const torch::NoGradGuard no_grad;
  for (auto& [name, target] : targets) {
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end() || found->second.sizes() != target.sizes())
      throw std::runtime_error(
          fmt::format("{}: no {} of this network; remove the file or choose another --out",
                      path.string(),
                      name));
    target.copy_(found->second);
  }
  steps_ = static_cast<int64_t>(number_in(file, "uvic.step", path));
  images_seen = static_cast<int64_t>(number_in(file, "uvic.images_seen", path));
  return file.metadata;
}

void AutoencoderTraining::round_to_half() {
  const torch::NoGradGuard no_grad;
  for (auto& p : parameters_) p.copy_(p.to(torch::kFloat16));
}

double measured_scaling_factor(model::AutoencoderNet& net,
                               const data::Dataset& dataset,
                               int64_t count,
                               torch::Device device) {
  constexpr int64_t kBatch = 64;
  const torch::NoGradGuard no_grad;
  count = std::min(count, dataset.size());
  double sum = 0, squares = 0, numbers = 0;
  for (int64_t i = 0; i < count; i += kBatch) {
    const auto end = std::min(i + kBatch, count);
    const auto x =
        data::to_network_range(data::read_spread(dataset, i, end, count).images).to(device);
    const auto moments = net->moments(x).cpu();
    const auto noise = base::PositionRandom(0, torch::arange(i, end))
                           .normals(base::RandomUse::kNoise,
                                    {moments.size(1) / 2, moments.size(2), moments.size(3)});
    const auto z = model::sample_moments(moments, noise, 1).to(torch::kFloat64);
    sum += z.sum().item<double>();
    squares += z.square().sum().item<double>();
    numbers += static_cast<double>(z.numel());
  }
  const double mean = sum / numbers;
  return 1 / std::sqrt(squares / numbers - mean * mean);
}

}  // namespace uvic::app
