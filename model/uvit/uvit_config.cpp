#include "model/uvit/uvit_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "base/check.h"
#include "model/attention/attention.h"
#include "model/class_tokens.h"
#include "model/network_config.h"
#include "model/uvit/placement.h"

namespace uvic::model {
namespace {

constexpr double kFloat = 4;

/// Bytes that one block keeps for each token. Fused blocks compute both norms and the value of GELU
/// again in the backward pass. LibTorch's layers keep them.
struct BlockBytes {
  double plain, joining, input, backward;
};

BlockBytes bytes_of_block(const UViTConfig& c, double compute, bool fused) {
  const auto width = static_cast<double>(c.embed_dim), hidden = static_cast<double>(c.mlp_hidden()),
             heads = static_cast<double>(c.num_heads);
  const double statistics = kFloat * 2 * heads;
  const double recomputed = compute * (2 * width + hidden) + kFloat * 4;
  const double plain =
      2 * kFloat * width + compute * (4 * width + hidden) + statistics + (fused ? 0 : recomputed);
  return {
      plain,
      plain + (fused ? 1 : 2) * compute * width,  // the skip is the stream of another block
      kFloat * width,
      // The gradients of the stream, of the input and output of GELU, and of the input of fc1. Of
      // SwiGLU the input is twice as wide, half of it counted here.
      2 * kFloat * width + compute * ((c.mlp == "swiglu" ? 3 : 2) * hidden + width)};
}

/// Tokens of an example that a block sees.
double tokens_of_block(const UViTConfig& c, const PartialPass& pass, int64_t block) {
  const auto is_inner = [&](int64_t margin) {
    return block >= margin && block < c.blocks() - margin;
  };
  const bool routed = pass.kept < 1 && is_inner(pass.margin);
  const int64_t classes = is_inner(c.class_tokens_from) ? c.class_tokens : 0;
  return static_cast<double>(classes + c.extras() +
                             (routed ? c.kept_patches(pass.kept) : c.patches()));
}

/// What a block with changed parts keeps besides, for each token.
double bytes_of_options(const UViTConfig& c, double compute, bool fused) {
  const auto width = static_cast<double>(c.embed_dim), hidden = static_cast<double>(c.mlp_hidden());
  double bytes = 0;
  if (fused && c.mlp == "swiglu") bytes += compute * hidden;  // both halves
  if (fused && c.qk_norm) bytes += compute * 3 * width;       // qkv before the norm
  if (fused) return bytes;
  if (c.norm == "rms") bytes += 2 * kFloat * width;       // x / rms, of both norms
  if (c.mlp == "swiglu") bytes += 2 * compute * hidden;   // both halves, silu, and their product
  if (c.qk_norm) bytes += 2 * 2 * kFloat * width;         // q and k wide, and over their rms
  if (c.qk_norm || c.rope) bytes += 2 * compute * width;  // q and k as attention reads them
  if (c.value_residual) bytes += 2 * compute * width;     // v, and its difference from the first
  return bytes;
}

/// The scores of one block and image in plain tensor code: the scores, the weights, and one
/// intermediate result.
double bytes_of_scores(const UViTConfig& c, double tokens) {
  return 3 * kFloat * static_cast<double>(c.num_heads) * tokens * tokens;
}

std::string text_of(UViTConfig config) {
  config.use_checkpoint = false;
  config.init = UViTConfig().init;
  if (config.attention == "softmax") config.placement = "none";
  if (!config.rope) config.rope_theta = UViTConfig().rope_theta;
  if (config.class_tokens == 0) config.class_tokens_from = UViTConfig().class_tokens_from;
  config.base_width = UViTConfig().base_width;  // of training, as init
  std::string text;
  for (const auto& leaf : base::leaves_of(config))
    text += fmt::format("{} = {}\n", leaf.name, leaf.text());
  return text;
}

}  // namespace

int64_t class_tokens(const NetworkConfig& config) {
  return config.kind == "uvit" ? config.uvit.class_tokens : 0;
}

NetworkInput input_of(const UViTConfig& c) {
  return {c.in_chans, c.img_size, c.num_classes, c.num_clip_token, c.clip_dim};
}

ActivationBytes activation_bytes(const UViTConfig& c, const ActivationSettings& settings) {
  const double compute = settings.bf16 ? 2 : kFloat;
  const auto rows = static_cast<double>(c.extras() + c.patches());
  const bool scores = !settings.fused_kernels || !attention_kind(c.attention).score;
  const bool fused = !scores && settings.cpu && c.has_fused_blocks();
  auto block = bytes_of_block(c, compute, fused);
  const double of_options = bytes_of_options(c, compute, fused);
  block.plain += of_options, block.joining += of_options;
  // Embedding and decoder: tokens without and with positions, and the input and output of the last
  // norm.
  double kept = rows * 4 * kFloat * static_cast<double>(c.embed_dim);
  if (c.fusion > 0) kept += rows * compute * 2 * static_cast<double>(c.embed_dim);
  double most_tokens = 0;  // of a block
  for (int64_t i = 0; i < c.blocks(); ++i) {
    const double tokens = tokens_of_block(c, settings.pass, i);
    const bool joins = c.skip && i > c.depth / 2;
    most_tokens = std::max(most_tokens, tokens);
    if (c.use_checkpoint)
      kept += tokens * block.input;
    else
      kept += tokens * (joins ? block.joining : block.plain) +
              (scores ? bytes_of_scores(c, tokens) : 0);
  }
  if (!c.use_checkpoint) return {kept, most_tokens * block.backward};
  return {kept,
          most_tokens * (block.joining + block.backward) +
              (scores ? bytes_of_scores(c, most_tokens) : 0)};
}

bool UViTConfig::has_fused_blocks() const {
  return attention_kind(attention).score && !value_residual &&
         !((qk_norm || rope) && embed_dim / num_heads % 2 != 0);
}

bool same_uvit(const UViTConfig& a, const UViTConfig& b) { return text_of(a) == text_of(b); }

std::vector<base::Choice> attention_choices() { return attention_kinds().choices(); }
std::vector<base::Choice> placement_choices() { return placement_rules().choices(); }

void UViTConfig::validate_class_tokens() const {
  base::require(class_tokens == 0 || num_classes > 0,
                "model.class_tokens {}: a network without classes has none; set num_classes, or "
                "class_tokens to 0",
                class_tokens);
  base::require(class_tokens == 0 || class_tokens_from <= depth / 2,
                "model.class_tokens_from {}: the middle block is {}; give at most that",
                class_tokens_from,
                depth / 2);
  const bool looks_back = value_residual || attention_kind(attention).reads_v_previous;
  base::require(class_tokens == 0 || class_tokens_from == 0 || !looks_back,
                "model.class_tokens_from {}: {} compares the values of blocks, which then see "
                "other tokens; set it to 0",
                class_tokens_from,
                value_residual ? "value_residual" : "attention " + attention);
}

void UViTConfig::validate() const {
  base::check_fields(*this, "model.");
  base::require(img_size > 0, "model: img_size is 0; give the side of the images, px");
  base::require(in_chans > 0, "model: in_chans is 0; give 3 for images");
  base::require(img_size % patch_size == 0,
                "model: img_size {} is not a multiple of patch_size {}; change one of them",
                img_size,
                patch_size);
  base::require(embed_dim % num_heads == 0,
                "model: embed_dim {} is not a multiple of num_heads {}; change one of them",
                embed_dim,
                num_heads);
  base::require(depth % 2 == 0, "model: depth is {}; give an even number", depth);
  base::require(
      mlp_hidden() > 0, "model: mlp_ratio is {}; give 4, as in the published models", mlp_ratio);
  base::require(num_classes != 0,
                "model: num_classes is {}; give a positive number, or -1 for none",
                num_classes);
  base::require(
      (clip_dim > 0) == (num_clip_token > 0),
      "model: clip_dim {} and num_clip_token {} disagree; give both, or 0 and 0 for no context",
      clip_dim,
      num_clip_token);
  base::require(num_classes <= 0 || clip_dim == 0,
                "model: num_classes {} and clip_dim {}: choose labels or context, not both",
                num_classes,
                clip_dim);
  place_attention(placement, blocks());
  base::require(!attention_kind(attention).only_sequences,
                "model.attention {}: for networks of sequences (model.kind decoder_lm) only",
                attention);
  base::require(
      (embed_dim / num_heads) % attention_kind(attention).score_parts == 0,
      "model.attention {}: needs a head width that is a multiple of {}, not embed_dim / num_heads "
      "{}",
      attention,
      attention_kind(attention).score_parts,
      embed_dim / num_heads);
  base::require(init == "mup" || base_width == UViTConfig().base_width,
                "model.base_width {}: init {} does not read it; choose mup or leave base_width out",
                base_width,
                init);
  validate_class_tokens();
  base::require(2 * fusion < blocks(),
                "model.fusion {}: leaves none of the {} blocks on the path; give at most {}",
                fusion,
                blocks(),
                (blocks() - 1) / 2);
  const int64_t rotated = embed_dim / num_heads / attention_kind(attention).score_parts;
  base::require(
      !rope || rotated % 4 == 0,
      "model.rope: rotates a width of {}, which is not a multiple of 4; change embed_dim or "
      "num_heads",
      rotated);
}

int64_t parameter_count(const UViTConfig& c) {
  c.validate();
  const auto linear = [](int64_t in, int64_t out) { return in * out + out; };
  const int64_t dim = c.embed_dim, patch = c.patch_size * c.patch_size * c.in_chans;
  const int64_t attention = 3 * dim * dim + (c.qkv_bias ? 3 * dim : 0) + linear(dim, dim);
  const int64_t norm = c.norm == "rms" ? dim : 2 * dim;
  const int64_t fc1 = (c.mlp == "swiglu" ? 2 : 1) * c.mlp_hidden();
  const int64_t qk_norm = c.qk_norm ? 2 * (dim / c.num_heads) : 0;
  const int64_t block =
      2 * norm + attention + qk_norm + linear(dim, fc1) + linear(c.mlp_hidden(), dim);
  const int64_t narrow = c.patch_bottleneck;
  const int64_t patch_embed =
      narrow > 0 ? patch * narrow + linear(narrow, dim) : linear(patch, dim);
  int64_t total = (c.class_tokens + c.extras() + c.patches() + c.augment_dim) * dim + patch_embed +
                  c.blocks() * block + norm + linear(dim, patch) +
                  (c.value_residual ? c.blocks() - 1 : 0);
  if (c.skip) total += c.depth / 2 * linear(2 * dim, dim);
  if (c.mlp_time_embed) total += linear(dim, 4 * dim) + linear(4 * dim, dim);
  if (c.num_classes > 0) total += c.num_classes * dim;
  if (c.clip_dim > 0) total += linear(c.clip_dim, dim);
  if (c.conv) total += linear(9 * c.in_chans, c.in_chans);
  if (c.fusion > 0) total += linear(2 * dim, dim) + dim;
  const auto picked = place_attention(c.placement, c.blocks());
  return total +
         std::count(picked.begin(), picked.end(), true) *
             own_parameters(attention_kind(c.attention), dim, {c.num_heads, dim / c.num_heads, 1});
}

int64_t hidden_parameter_count(const UViTConfig& c) {
  c.validate();
  const int64_t dim = c.embed_dim, mlp = (c.mlp == "swiglu" ? 3 : 2) * dim * c.mlp_hidden();
  int64_t total = c.blocks() * (4 * dim * dim + mlp);
  if (c.skip) total += c.depth / 2 * 2 * dim * dim;
  if (c.fusion > 0) total += 2 * dim * dim;
  const auto picked = place_attention(c.placement, c.blocks());
  if (attention_kind(c.attention).gated)
    total += std::count(picked.begin(), picked.end(), true) * dim * dim;
  return total;
}

double forward_flops(const UViTConfig& c, const PartialPass& pass) {
  c.validate();
  const double dim = c.embed_dim, patches = c.patches(),
               mlp = (c.mlp == "swiglu" ? 3.0 : 2.0) * dim * static_cast<double>(c.mlp_hidden()),
               patch = c.patch_size * c.patch_size * c.in_chans;
  const double narrow = c.patch_bottleneck;
  const double embed = narrow > 0 ? patch * narrow + narrow * dim : patch * dim;
  const int64_t blocks = pass.blocks > 0 ? std::min(pass.blocks, c.blocks()) : c.blocks();
  double products = patches * embed;  // patch_embed
  for (int64_t i = 0; i < blocks; ++i) {
    const double tokens = tokens_of_block(c, pass, i);
    // qkv and proj, MLP, attention
    products += tokens * (4 * dim * dim + mlp) + 2 * tokens * tokens * dim;
    if (c.skip && i > c.depth / 2) products += tokens * 2 * dim * dim;
    // The product of a fusion follows its last block.
    if (c.fusion > 0 && i == c.blocks() - 1 - c.fusion)
      products += (static_cast<double>(c.extras()) + patches) * 2 * dim * dim;
  }
  if (c.mlp_time_embed) products += 8 * dim * dim;
  products += static_cast<double>(c.num_clip_token) * c.clip_dim * dim;
  if (pass.blocks > 0) return 2 * products;
  products += patches * patch * dim;  // decoder_pred
  if (c.conv) products += 9.0 * c.in_chans * c.in_chans * c.img_size * c.img_size;
  return 2 * products;
}

}  // namespace uvic::model

template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::model::UViTConfig&);
