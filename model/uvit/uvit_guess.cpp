#include "model/uvit/uvit_guess.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/torch.h"

namespace uvic::model {
namespace {

constexpr int64_t kChannelsPerHead = 64, kClipTokens = 77, kPublishedFusion = 2;

/// The whole square root, or 0 where n is no square.
int64_t exact_root(int64_t n) {
  const auto root =
      n > 0 ? static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(n)))) : 0;
  return root * root == n ? root : 0;
}

/// Published widths have 64 channels to a head, except the huge models, whose 1152 make 16 heads.
/// 0 where the width leaves it open.
int64_t published_heads(int64_t width) {
  if (width == 1152) return 16;
  return width % kChannelsPerHead == 0 ? width / kChannelsPerHead : 0;
}

/// Reads the shapes of a state_dict, or refuses them.
class Shapes {
 public:
  Shapes(const NamedTensors& tensors, const std::string& source)
      : tensors_(tensors), source_(source) {}

  bool has(const std::string& name) const { return tensors_.count(name) > 0; }

  int64_t size(const std::string& name, int64_t dims, int64_t dim) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end() || found->second.dim() != dims)
      throw std::invalid_argument(
          fmt::format("{}: {} {}; these are not the weights of a U-ViT",
                      source_,
                      found == tensors_.end() ? "no" : "unexpected shape of",
                      name));
    return found->second.size(dim);
  }

 private:
  const NamedTensors& tensors_;
  const std::string& source_;
};

/// The parts of a block that its tensors show. Rotations have none.
void take_block_options(const Shapes& shapes, UViTConfig& c) {
  c.norm = shapes.has("norm.bias") ? "layer" : "rms";
  c.mlp = shapes.has("mid_block.mlp.w12.weight") ? "swiglu" : "gelu";
  c.qk_norm = shapes.has("mid_block.attn.q_norm.weight");
  c.value_residual = shapes.has("mid_block.attn.v_residual");
  const int64_t hidden = c.mlp == "swiglu"
                             ? (3 * shapes.size("mid_block.mlp.w3.weight", 2, 1) + 1) / 2
                             : shapes.size("mid_block.mlp.fc1.weight", 2, 0);
  c.mlp_ratio = static_cast<double>(hidden) / static_cast<double>(c.embed_dim);
}

/// Everything but attention. Heads go first: of a width that no published model has, no other
/// dimension is a guess worth refusing over.
UViTConfig config_of_shapes(const Shapes& shapes,
                            const ShapeHints& hints,
                            const std::string& source) {
  UViTConfig c;
  const bool narrows = shapes.has("patch_embed.proj2.weight");
  c.patch_bottleneck = narrows ? shapes.size("patch_embed.proj2.weight", 2, 1) : 0;
  c.embed_dim = narrows ? shapes.size("patch_embed.proj2.weight", 2, 0)
                        : shapes.size("patch_embed.proj.weight", 4, 0);
  c.in_chans = shapes.size("patch_embed.proj.weight", 4, 1);
  c.patch_size = shapes.size("patch_embed.proj.weight", 4, 2);
  c.num_heads = hints.num_heads > 0 ? hints.num_heads : published_heads(c.embed_dim);
  if (c.num_heads == 0)
    throw UnknownNetwork(
        fmt::format("{}: width {} does not say the number of heads; give --num_heads or --config",
                    source,
                    c.embed_dim));
  c.depth = 0;
  while (shapes.has(fmt::format("in_blocks.{}.norm1.weight", c.depth / 2))) c.depth += 2;
  take_block_options(shapes, c);
  c.qkv_bias = shapes.has("mid_block.attn.qkv.bias");
  c.mlp_time_embed = shapes.has("time_embed.0.weight");
  c.conv = shapes.has("final_layer.weight");
  c.skip = shapes.has("out_blocks.0.skip_linear.weight");
  if (shapes.has("fusion.weight")) c.fusion = std::min(kPublishedFusion, c.depth / 2);
  c.num_classes = shapes.has("label_emb.weight") ? shapes.size("label_emb.weight", 2, 0) : -1;
  if (shapes.has("augment_embed.weight")) c.augment_dim = shapes.size("augment_embed.weight", 2, 1);
  if (shapes.has("class_pos_embed")) {
    c.class_tokens = shapes.size("class_pos_embed", 3, 1);
    const bool looks_back = c.value_residual;
    c.class_tokens_from = looks_back ? 0 : std::min(c.class_tokens_from, c.depth / 2);
  }
  const int64_t tokens = shapes.size("pos_embed", 3, 1);
  int64_t patches = tokens - 1 - (c.num_classes > 0 ? 1 : 0);
  if (shapes.has("context_embed.weight")) {
    c.clip_dim = shapes.size("context_embed.weight", 2, 1);
    c.num_clip_token = hints.num_clip_token > 0 ? hints.num_clip_token : kClipTokens;
    patches -= c.num_clip_token;
  }
  const int64_t side = exact_root(patches);
  if (side == 0)
    throw std::invalid_argument(
        fmt::format("{}: pos_embed has {} tokens, which leave no square of patches; pass the "
                    "config it was trained with",
                    source,
                    tokens));
  c.img_size = side * c.patch_size;
  return c;
}

}  // namespace

ConfigGuess guess_uvit(const NamedTensors& tensors,
                       const ShapeHints& hints,
                       const std::string& source) {
  const Shapes shapes(tensors, source);
  ConfigGuess guess;
  auto& c = guess.config.uvit;
  c = config_of_shapes(shapes, hints, source);
  const auto assume = [&](std::string text) { guess.assumed.push_back(std::move(text)); };
  if (c.clip_dim > 0 && hints.num_clip_token <= 0) assume("num_clip_token = 77 (CLIP's)");
  if (hints.num_heads <= 0)
    assume(fmt::format("num_heads = {} ({} channels each, as in the published models)",
                       c.num_heads,
                       c.embed_dim / c.num_heads));
  if (c.changes_blocks()) assume("rope = false (rotations have no weights: give --config)");
  if (c.class_tokens > 0 && !c.value_residual)
    assume(fmt::format("class_tokens_from = {} (it has no weights: give --config)",
                       c.class_tokens_from));
  if (c.fusion > 0)
    assume(fmt::format("fusion = {} (SPRINT's; no shape says it: give --config)", c.fusion));
  c.attention = "softmax";
  c.placement = "none";
  assume(
      "attention = softmax (a U-ViC has the same shapes: give attention = cog, placement = inner)");
  apply_uvit_hints(hints, /*is_guessed=*/true, guess);
  return guess;
}

void apply_uvit_hints(const ShapeHints& hints, bool is_guessed, ConfigGuess& guess) {
  auto& config = guess.config.uvit;
  const auto answered = [&](const std::string& what) {
    auto& assumed = guess.assumed;
    assumed.erase(std::remove_if(assumed.begin(),
                                 assumed.end(),
                                 [&](const auto& text) { return text.rfind(what, 0) == 0; }),
                  assumed.end());
  };
  if (hints.num_heads > 0) config.num_heads = hints.num_heads, answered("num_heads");
  if (hints.num_clip_token > 0)
    config.num_clip_token = hints.num_clip_token, answered("num_clip_token");
  if (hints.qk_scale > 0) config.qk_scale = hints.qk_scale;
  if (!hints.attention.empty()) {
    config.attention = hints.attention;
    if (is_guessed) config.placement = hints.attention == "softmax" ? "none" : "inner";
    answered("attention");
  }
  if (!hints.placement.empty()) config.placement = hints.placement;
  config.validate();
}

}  // namespace uvic::model
