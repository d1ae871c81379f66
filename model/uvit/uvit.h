// The backbone: a ViT with long skip connections whose attention is chosen block by block.
// U-ViT: Bao et al. 2023, arXiv:2209.12152. U-ViC: Lv et al. 2024, arXiv:2411.07176.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <optional>
#include <string>

#include "model/layers.h"

namespace uvic::model {

/// The constructor options of the official code, under their names.
struct UViTConfig {
  int64_t img_size = 32;
  int64_t patch_size = 2;
  int64_t in_chans = 3;
  int64_t embed_dim = 512;
  int64_t depth = 12;
  int64_t num_heads = 8;
  double mlp_ratio = 4.0;
  bool qkv_bias = false;
  double qk_scale = 0.0;
  bool mlp_time_embed = false;
  int64_t num_classes = -1;
  int64_t clip_dim = 0;
  int64_t num_clip_token = 0;
  bool conv = true;
  bool skip = true;
  bool use_checkpoint = false;
  std::string attention = "cog";
  std::string placement = "inner";
  std::string init = "official";

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit(
        "img_size", img_size, "Side of the input, px (or latent cells); a multiple of patch_size");
    visit("patch_size", patch_size, "Side of a patch, px");
    visit("in_chans", in_chans, "Channels of the input");
    visit("embed_dim", embed_dim, "Token width, a multiple of num_heads");
    visit("depth",
          depth,
          "Blocks beside the middle one, an even number: depth/2 in, 1 middle, depth/2 out");
    visit("num_heads", num_heads, "Attention heads");
    visit("mlp_ratio", mlp_ratio, "Hidden width of the MLP over embed_dim");
    visit("qkv_bias", qkv_bias, "Bias in the qkv projection");
    visit("qk_scale", qk_scale, "Multiplies q k^T; 0 means 1/sqrt(head width)");
    visit("mlp_time_embed", mlp_time_embed, "Pass the time embedding through a two-layer MLP");
    visit("num_classes",
          num_classes,
          "Classes to condition on, the null class included; -1: unconditional");
    visit("clip_dim", clip_dim, "Width of context (text) features; 0: no context");
    visit("num_clip_token", num_clip_token, "Context tokens; 0: no context");
    visit("conv", conv, "Final 3x3 convolution");
    visit("skip", skip, "Long skip connections");
    visit("use_checkpoint", use_checkpoint, "Recompute blocks in the backward pass to save memory");
    visit("attention", attention, "softmax | cog | expressive | elliptical");
    visit("placement",
          placement,
          "Blocks that use `attention`, the others use softmax: inner (all but first and last) | "
          "all | none | a list of blocks, from 0, as 1-5,7");
    visit("init",
          init,
          "Fresh weights: official (deviation 0.02 everywhere, as published) | scaled "
          "(1/sqrt(inputs), "
          "positions start as sines and cosines), by which narrow networks learn sooner");
  }

  /// Throws std::invalid_argument where fields contradict each other.
  void validate() const;

  int64_t patches() const { return (img_size / patch_size) * (img_size / patch_size); }
  /// Tokens before the patches: the time, and the label or the context.
  int64_t extras() const { return 1 + (num_classes > 0 ? 1 : 0) + num_clip_token; }
  int64_t blocks() const { return depth / 2 * 2 + 1; }
  int64_t mlp_hidden() const { return static_cast<int64_t>(embed_dim * mlp_ratio); }
};

/// The network. Parameters are named and shaped as the official state_dict and stay in float32 (or
/// in what to() made them).
class UViTImpl : public torch::nn::Module {
 public:
  /// Draws fresh weights from torch's global generator. Throws what UViTConfig::validate throws.
  explicit UViTImpl(const UViTConfig& config);

  /// x [B, in_chans, img_size, img_size]; timesteps [B] as the network wants them (t * 999 for the
  /// continuous SDE); `condition`: class labels int64 [B], or context [B, num_clip_token,
  /// clip_dim], or undefined. Returns the prediction, shape and dtype of x. Throws
  /// std::invalid_argument on shapes that disagree with the config.
  torch::Tensor forward(const torch::Tensor& x,
                        const torch::Tensor& timesteps,
                        const torch::Tensor& condition = {});

  const UViTConfig& config() const { return config_; }

  /// The dtype of the products and attention inside the blocks; embeddings, the residual stream,
  /// LayerNorm's and softmax's sums and the output layers keep that of the parameters, which is the
  /// default here too. bfloat16 is the mixed precision of training. (A bfloat16 residual stream,
  /// measured on 13 blocks of width 256, would save 3 % of the time in plain tensor code and add 18
  /// % to the error.)
  void set_compute_dtype(torch::Dtype dtype) { compute_dtype_ = dtype; }
  torch::Dtype compute_dtype() const { return compute_dtype_.value_or(pos_embed.scalar_type()); }

  /// Whether, without gradients, an image's prediction has the same bits in a batch as alone at the
  /// price of a batch. Where it is false forward() takes CPU images one by one, to the same end.
  bool keeps_images_apart() const;

  torch::Tensor pos_embed;  ///< [1, tokens, embed_dim]
  PatchEmbed patch_embed{nullptr};
  torch::nn::Sequential time_embed{nullptr};  ///< null without mlp_time_embed
  torch::nn::Embedding label_emb{nullptr};    ///< null without num_classes
  Linear context_embed{nullptr};              ///< null without clip_dim
  torch::nn::ModuleList in_blocks, out_blocks;
  Block mid_block{nullptr};
  LayerNorm norm{nullptr};
  Linear decoder_pred{nullptr};
  torch::nn::Conv2d final_layer{nullptr};  ///< null without conv

 private:
  void scale_fresh_weights();
  void check(const torch::Tensor& x,
             const torch::Tensor& timesteps,
             const torch::Tensor& condition) const;
  torch::Tensor embed(const torch::Tensor& x,
                      const torch::Tensor& timesteps,
                      const torch::Tensor& condition);
  torch::Tensor run_blocks(torch::Tensor h);
  torch::Tensor run_block(const std::shared_ptr<torch::nn::Module>& block,
                          const torch::Tensor& x,
                          const torch::Tensor& skip,
                          torch::Tensor* values);
  torch::Tensor decode(const torch::Tensor& h);
  UViTConfig config_;
  std::optional<torch::Dtype> compute_dtype_;
  bool passes_values_ =
      false;  ///< whether some block's attention reads the values of the block before
};
TORCH_MODULE(UViT);

/// Parameters of the network that the config describes, without building it. Throws what validate()
/// throws.
int64_t parameter_count(const UViTConfig& config);

/// Multiplications and additions of one forward pass for one image, counting matrix products and
/// attention only (a training step costs three times that).
double forward_flops(const UViTConfig& config);

}  // namespace uvic::model
