#include "metrics/embedded_features.h"

#include <torch/nn/init.h>
#include <torch/nn/modules/conv.h>

#include <fmt/format.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "data/formats/json.h"
#include "data/formats/safetensors.h"
#include "data/formats/sha256.h"
#include "data/pixel_range.h"
#include "metrics/embedded_net.h"

namespace uvic::metrics {
namespace {

constexpr int64_t kGroup = 32;  // images of one forward pass on one thread

torch::nn::Conv2d conv(int64_t in, int64_t out, int64_t size, int64_t stride = 1) {
  return torch::nn::Conv2d(
      torch::nn::Conv2dOptions(in, out, size).stride(stride).padding(size / 2));
}

class EmbeddedExtractor : public FeatureExtractor {
 public:
  EmbeddedExtractor(EmbeddedWeights weights,
                    std::string sha256,
                    const torch::Device& device,
                    std::string name)
      : weights_(std::move(weights)),
        sha256_(std::move(sha256)),
        name_(std::move(name)),
        device_(device) {
    weights_.net->to(device);
    weights_.feature_mean = weights_.feature_mean.to(device);
    weights_.feature_std = weights_.feature_std.to(device);
  }

  std::string name() const override { return name_; }
  std::string distance_name() const override { return "FD"; }
  std::string weights_sha256() const override { return sha256_; }
  std::string resize() const override { return "whole image to 32x32, antialiased bilinear"; }
  int64_t dimensions() const override { return kEmbeddedDimensions; }
  int64_t images_in_pass() const override { return kGroup; }
  int64_t num_classes() const override { return static_cast<int64_t>(weights_.class_names.size()); }

  Activations activations(const torch::Tensor& images) const override {
    check_images(images, "embedded");
    return activations_of(images);
  }

  Activations activations_of(const ImageBatch& images) const override {
    return in_groups(images, kGroup, device_, {embedded_input, [this](const torch::Tensor& input) {
                                                 auto net = weights_.net;
                                                 const auto out = net->describe(input);
                                                 const auto features =
                                                     (out.features - weights_.feature_mean) /
                                                     weights_.feature_std;
                                                 return Activations{features, {}, out.logits};
                                               }});
  }

 private:
  EmbeddedWeights weights_;
  std::string sha256_, name_;
  torch::Device device_;
};

}  // namespace

EmbeddedNet::EmbeddedNet(int64_t num_classes)
    : conv1_(register_module("conv1", conv(3, 32, 3))),
      conv2_(register_module("conv2", conv(32, 64, 3, 2))),
      conv3_(register_module("conv3", conv(64, 64, 3))),
      conv4_(register_module("conv4", conv(64, 128, 3, 2))),
      conv5_(register_module("conv5", conv(128, 128, 3))),
      hidden_(register_module("hidden", conv(128, 128, 1))),
      classify_(register_module("classify", conv(128, num_classes, 1))) {
  for (auto& parameter : parameters()) {
    if (parameter.dim() == 1) {
      torch::nn::init::zeros_(parameter);
      continue;
    }
    torch::nn::init::kaiming_normal_(parameter, 0, torch::kFanIn, torch::kReLU);
    parameter.set_data(parameter.contiguous(at::MemoryFormat::ChannelsLast));
  }
}

EmbeddedNet::Layers EmbeddedNet::layers(const torch::Tensor& x) {
  Layers layers;
  layers.first = conv1_(x.contiguous(at::MemoryFormat::ChannelsLast)).relu_();
  layers.third = conv3_(conv2_(layers.first).relu_()).relu_();
  const auto fifth = conv5_(conv4_(layers.third).relu_()).relu_();  // [N, 128, 8, 8]
  layers.hidden = hidden_(fifth.mean({2, 3}, /*keepdim=*/true));
  return layers;
}

torch::Tensor EmbeddedNet::logits(const torch::Tensor& hidden) {
  return classify_(hidden.relu()).flatten(1);
}

torch::Tensor EmbeddedNet::forward(const torch::Tensor& x) { return logits(layers(x).hidden); }

EmbeddedNet::Output EmbeddedNet::describe(const torch::Tensor& x) {
  const auto [first, third, hidden] = layers(x);
  const auto mean = first.mean({2, 3});
  const auto variance = first.square().mean({2, 3}) - mean.square();
  const auto features = torch::cat(
      {mean, variance.clamp_min(0).add(1e-6).sqrt(), third.mean({2, 3}), hidden.flatten(1)}, 1);
  return {features, logits(hidden)};
}

torch::Tensor embedded_input(const torch::Tensor& images) {
  auto x = data::to_network_range(images);
  if (x.size(2) != kEmbeddedImageSize || x.size(3) != kEmbeddedImageSize)
    x = torch::_upsample_bilinear2d_aa(x, {kEmbeddedImageSize, kEmbeddedImageSize}, false);
  return x;
}

void write_embedded_weights(const std::filesystem::path& path, const EmbeddedWeights& weights) {
  formats::TensorFile file;
  for (const auto& item : weights.net->named_parameters())
    file.tensors[item.key()] = item.value().detach().to(torch::kFloat16);
  file.tensors["feature_mean"] = weights.feature_mean;
  file.tensors["feature_std"] = weights.feature_std;
  file.metadata["format"] = "uvic embedded feature network 1";
  file.metadata["trained_on"] = weights.trained_on;
  file.metadata["class_names"] = nlohmann::json(weights.class_names).dump();
  formats::write_safetensors(path, file);
}

EmbeddedWeights read_embedded_weights(const std::filesystem::path& path) {
  torch::NoGradGuard no_grad;
  const auto file = formats::read_safetensors(path);
  const auto fail = [&](const std::string& what) {
    throw std::runtime_error(
        fmt::format("{}: {}; make the file with `uvic train-features`", path.string(), what));
  };
  const auto tensor = [&](const std::string& name, at::IntArrayRef shape) {
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end()) fail("no tensor " + name);
    if (found->second.sizes() != shape)
      fail(fmt::format("{} has {} values in {} dimensions, which is not its shape",
                       name,
                       found->second.numel(),
                       found->second.dim()));
    const auto value = found->second.to(torch::kFloat32).clone();
    if (!value.isfinite().all().item<bool>()) fail(name + " holds NaN or infinity");
    return value;
  };

  EmbeddedWeights weights;
  const auto names = file.metadata.find("class_names");
  const auto json = names == file.metadata.end()
                        ? nlohmann::json()
                        : formats::try_parse_json(names->second).value_or(nlohmann::json());
  if (!json.is_array() || json.empty()) fail("no class_names in its metadata");
  for (const auto& name : json)
    weights.class_names.push_back(name.is_string() ? name.get<std::string>() : "");
  weights.net = std::make_shared<EmbeddedNet>(static_cast<int64_t>(weights.class_names.size()));
  for (auto& item : weights.net->named_parameters())
    item.value().set_requires_grad(false).copy_(tensor(item.key(), item.value().sizes()));
  weights.feature_mean = tensor("feature_mean", {kEmbeddedDimensions});
  weights.feature_std = tensor("feature_std", {kEmbeddedDimensions});
  const auto trained_on = file.metadata.find("trained_on");
  if (trained_on != file.metadata.end()) weights.trained_on = trained_on->second;
  weights.net->eval();
  return weights;
}

std::unique_ptr<FeatureExtractor> load_embedded_extractor(const std::filesystem::path& path,
                                                          const torch::Device& device,
                                                          const std::string& name) {
  auto weights = read_embedded_weights(path);
  return std::make_unique<EmbeddedExtractor>(
      std::move(weights), formats::sha256_file(path), device, name);
}

}  // namespace uvic::metrics
