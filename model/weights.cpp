#include "model/weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace uvic::model {
namespace {

std::string shape_text(const torch::Tensor& x) {
  return fmt::format("[{}]", fmt::join(x.sizes().vec(), ", "));
}

/// The whole square root, or 0 where n is no square.
int64_t exact_root(int64_t n) {
  const auto root =
      n > 0 ? static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(n)))) : 0;
  return root * root == n ? root : 0;
}

}  // namespace

NamedTensors named_weights(const torch::nn::Module& module) {
  NamedTensors result;
  for (const auto& item : module.named_parameters())
    result.emplace(item.key(), item.value().detach());
  for (const auto& item : module.named_buffers()) result.emplace(item.key(), item.value().detach());
  return result;
}

void load_weights(torch::nn::Module& module,
                  const NamedTensors& tensors,
                  const std::string& source) {
  const auto own = named_weights(module);
  std::vector<std::string> faults;
  for (const auto& [name, wanted] : own) {
    const auto found = tensors.find(name);
    if (found == tensors.end())
      faults.push_back(fmt::format("{} is missing, the model wants {}", name, shape_text(wanted)));
    else if (found->second.sizes() != wanted.sizes())
      faults.push_back(fmt::format(
          "{} is {}, the model wants {}", name, shape_text(found->second), shape_text(wanted)));
    else if (found->second.is_floating_point() != wanted.is_floating_point())
      faults.push_back(fmt::format("{} is {}, the model wants {}",
                                   name,
                                   c10::toString(found->second.scalar_type()),
                                   c10::toString(wanted.scalar_type())));
  }
  for (const auto& [name, tensor] : tensors)
    if (!own.count(name))
      faults.push_back(fmt::format("{} {} is not part of the model", name, shape_text(tensor)));
  if (!faults.empty()) {
    constexpr size_t kTold = 5;  // of another network they are hundreds
    const size_t rest = faults.size() - std::min(faults.size(), kTold);
    faults.resize(faults.size() - rest);
    if (rest > 0) faults.push_back(fmt::format("and {} more", rest));
    throw std::invalid_argument(fmt::format(
        "{}: {}; pass the config it was trained with", source, fmt::join(faults, "; ")));
  }

  torch::NoGradGuard no_grad;
  for (auto& [name, target] : own) torch::Tensor(target).copy_(tensors.at(name));
}

ConfigGuess guess_config(const NamedTensors& tensors, const std::string& source) {
  const auto size = [&](const std::string& name, int64_t dims, int64_t dim) {
    const auto found = tensors.find(name);
    if (found == tensors.end() || found->second.dim() != dims)
      throw std::invalid_argument(fmt::format("{}: {} {}; these are not the weights of a U-ViT",
                                              source,
                                              found == tensors.end() ? "no" : "unexpected shape of",
                                              name));
    return found->second.size(dim);
  };
  const auto has = [&](const std::string& name) { return tensors.count(name) > 0; };

  ConfigGuess guess;
  auto& c = guess.config;
  const auto assume = [&](std::string text) { guess.assumed.push_back(std::move(text)); };

  c.embed_dim = size("patch_embed.proj.weight", 4, 0);
  c.in_chans = size("patch_embed.proj.weight", 4, 1);
  c.patch_size = size("patch_embed.proj.weight", 4, 2);
  c.depth = 0;
  while (has(fmt::format("in_blocks.{}.norm1.weight", c.depth / 2))) c.depth += 2;
  c.mlp_ratio = static_cast<double>(size("mid_block.mlp.fc1.weight", 2, 0)) / c.embed_dim;
  c.qkv_bias = has("mid_block.attn.qkv.bias");
  c.mlp_time_embed = has("time_embed.0.weight");
  c.conv = has("final_layer.weight");
  c.skip = has("out_blocks.0.skip_linear.weight");
  c.num_classes = has("label_emb.weight") ? size("label_emb.weight", 2, 0) : -1;

  int64_t patches = size("pos_embed", 3, 1) - 1 - (c.num_classes > 0 ? 1 : 0);
  if (has("context_embed.weight")) {
    c.clip_dim = size("context_embed.weight", 2, 1);
    c.num_clip_token = 77;
    patches -= c.num_clip_token;
    assume("num_clip_token = 77 (CLIP's)");
  }
  const int64_t side = exact_root(patches);
  if (side == 0)
    throw std::invalid_argument(
        fmt::format("{}: pos_embed has {} tokens, which leave no square of patches; pass the "
                    "config it was trained with",
                    source,
                    size("pos_embed", 3, 1)));
  c.img_size = side * c.patch_size;

  // Published widths have 64 channels to a head, but for the huge models, whose 1152 make 16 heads.
  c.num_heads = c.embed_dim == 1152 ? 16 : c.embed_dim / 64;
  if (c.num_heads == 0 || c.embed_dim % c.num_heads != 0)
    throw std::invalid_argument(fmt::format(
        "{}: width {} does not tell the number of heads; pass the config it was trained with",
        source,
        c.embed_dim));
  assume(fmt::format("num_heads = {} ({} channels each, as in the published models)",
                     c.num_heads,
                     c.embed_dim / c.num_heads));
  c.attention = "softmax";
  c.placement = "none";
  assume(
      "attention = softmax (a U-ViC has the same shapes: give attention = cog, placement = inner)");
  c.validate();
  return guess;
}

}  // namespace uvic::model
