// The backbone: a ViT with long skip connections whose attention is chosen block by block.
// U-ViT: Bao et al. 2023, arXiv:2209.12152. U-ViC: Lv et al. 2024, arXiv:2411.07176.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <string>

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

  template <class Visitor>
  void fields(Visitor&& visit) {
    visit("img_size", img_size, "Side of the input, px (or latent cells); a multiple of patch_size");
    visit("patch_size", patch_size, "Side of a patch, px");
    visit("in_chans", in_chans, "Channels of the input");
    visit("embed_dim", embed_dim, "Token width, a multiple of num_heads");
    visit("depth", depth, "Blocks beside the middle one, an even number: depth/2 in, 1 middle, depth/2 out");
    visit("num_heads", num_heads, "Attention heads");
    visit("mlp_ratio", mlp_ratio, "Hidden width of the MLP over embed_dim");
    visit("qkv_bias", qkv_bias, "Bias in the qkv projection");
    visit("qk_scale", qk_scale, "Multiplies q k^T; 0 means 1/sqrt(head width)");
    visit("mlp_time_embed", mlp_time_embed, "Pass the time embedding through a two-layer MLP");
    visit("num_classes", num_classes, "Classes to condition on, the null class included; -1: unconditional");
    visit("clip_dim", clip_dim, "Width of context (text) features; 0: no context");
    visit("num_clip_token", num_clip_token, "Context tokens; 0: no context");
    visit("conv", conv, "Final 3x3 convolution");
    visit("skip", skip, "Long skip connections");
    visit("use_checkpoint", use_checkpoint, "Recompute blocks in the backward pass to save memory");
    visit("attention", attention, "softmax | cog | expressive | elliptical");
    visit("placement", placement, "Blocks that use `attention`, the others use softmax: inner (all but first and last) | all | none | a list as 1-5,7");
  }

  /// Throws std::invalid_argument where fields contradict each other.
  void validate() const;
};

/// Throws std::invalid_argument on shapes that disagree with the config.
class UViTImpl : public torch::nn::Module {
 public:
  explicit UViTImpl(const UViTConfig& config);

  /// x [B, in_chans, img_size, img_size]; timesteps [B] as the network wants them (t * 999 for the continuous SDE);
  /// `condition`: class labels int64 [B], or context [B, num_clip_token, clip_dim], or undefined.
  /// Returns the prediction, shape and dtype of x.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& timesteps, const torch::Tensor& condition = {});

  const UViTConfig& config() const;

 private:
  struct Parts;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(UViT);

}  // namespace uvic::model
