// The options of a U-ViT or U-ViC, and its properties that follow from them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/field.h"
#include "model/attention_choices.h"

namespace uvic::model {

struct ActivationBytes;
struct ActivationSettings;
struct NetworkInput;
struct PartialPass;

/// The constructor options of the official code, with the same names.
struct UViTConfig {
  int64_t img_size = 32;
  int64_t patch_size = 2;
  int64_t in_chans = 3;
  int64_t embed_dim = 512;
  int64_t depth = 12;
  int64_t num_heads = 8;
  double mlp_ratio = 4.0;
  double qk_scale = 0.0;
  int64_t num_classes = -1;
  int64_t clip_dim = 0;
  int64_t num_clip_token = 0;
  std::string attention = "cog";
  std::string placement = "inner";
  std::string init = "official";
  std::string norm = "layer";
  std::string mlp = "gelu";
  double rope_theta = 100;
  int64_t class_tokens = 0;
  int64_t class_tokens_from = 4;
  int64_t patch_bottleneck = 0;
  int64_t augment_dim = 0;
  int64_t base_width = 128;
  int64_t fusion = 0;
  bool qkv_bias = false;
  bool mlp_time_embed = false;
  bool conv = true;
  bool skip = true;
  bool use_checkpoint = false;
  bool qk_norm = false;
  bool rope = false;
  bool value_residual = false;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit(
        "img_size",
        img_size,
        Field{"Side of the input, px (or cells of a latent), a multiple of patch_size; 0: that of "
              "the training images",
              base::from(0, 1 << 16)});
    visit("patch_size", patch_size, Field{"Side of a patch, px", base::from(1, 1 << 16)});
    visit("in_chans",
          in_chans,
          Field{"Channels of the input; 0: those of the training images or latents",
                base::from(0, 1 << 12)}
              .advanced());
    visit("embed_dim",
          embed_dim,
          Field{"Token width, a multiple of num_heads", base::from(1, 1 << 17)});
    visit("depth",
          depth,
          Field{"Blocks besides the middle one, an even number: depth/2 in, 1 middle, depth/2 out",
                base::from(2, 4096)});
    visit("num_heads", num_heads, Field{"Attention heads", base::from(1, 1 << 17)});
    visit("mlp_ratio",
          mlp_ratio,
          Field{"Hidden width of the MLP over embed_dim", base::above(0, 1000)}.advanced());
    visit("qkv_bias", qkv_bias, Field{"Bias in the qkv projection"}.advanced());
    visit("qk_scale",
          qk_scale,
          Field{"Multiplies q k^T; 0: 1/sqrt(head width)", base::from(0, 1e6)}.advanced());
    visit("mlp_time_embed",
          mlp_time_embed,
          Field{"Pass the time embedding through a two-layer MLP"}.advanced());
    visit("num_classes",
          num_classes,
          Field{"Classes to condition on, the null class included; -1: unconditional; 0: those of "
                "the training images",
                base::from(-1, 2147483647)});
    visit("clip_dim",
          clip_dim,
          Field{"Width of context (text) features; 0: no context", base::from(0, 1 << 20)}
              .advanced());
    visit("num_clip_token",
          num_clip_token,
          Field{"Context tokens; 0: no context", base::from(0, 1 << 20)}.advanced());
    visit("conv", conv, Field{"Final 3x3 convolution"}.advanced());
    visit("skip", skip, Field{"Long skip connections"}.advanced());
    visit("use_checkpoint",
          use_checkpoint,
          Field{"Recompute blocks in the backward pass: less memory, slower"}.advanced());
    visit("attention", attention, Field{"Attention kind", attention_choices()});
    visit(
        "placement",
        placement,
        Field{"Blocks that use `attention`, the others use softmax: a list of blocks counted from "
              "0, such as 1-5,7, or",
              placement_choices()}
            .or_else());
    visit("init",
          init,
          Field{"Fresh weights",
                {{"official", "standard deviation 0.02 everywhere, as published"},
                 {"scaled",
                  "1/sqrt(inputs), positions start as sines and cosines: narrow networks learn "
                  "sooner"},
                 {"mup",
                  "scaled, and for each matrix a learning rate by its inputs: networks of every "
                  "width share the rate of base_width"}}}
              .advanced());
    visit("base_width",
          base_width,
          Field{"Width at which init mup is scaled, with the given learning rate",
                base::from(1, 1 << 17)}
              .read_by("init mup"));
    visit("norm",
          norm,
          Field{"Norm before attention, MLP and decoder",
                {{"layer", "LayerNorm, as published"}, {"rms", "RMSNorm, without mean and bias"}}}
              .advanced());
    visit("mlp",
          mlp,
          Field{"MLP of a block",
                {{"gelu", "two layers with GELU, as published"},
                 {"swiglu", "SwiGLU, two thirds as wide: the same number of parameters"}}}
              .advanced());
    visit("qk_norm", qk_norm, Field{"RMSNorm of each head's queries and keys"}.advanced());
    visit("rope",
          rope,
          Field{"Rotate queries and keys by their row and column (2-D RoPE)"}.advanced());
    visit("rope_theta",
          rope_theta,
          Field{"Largest over smallest wavelength of the rotations", base::above(1, 1e9)}.read_by(
              "rope"));
    visit("class_tokens",
          class_tokens,
          Field{"Further tokens of the class in the middle blocks (JiT: 32); 0: none",
                base::from(0, 4096)}
              .advanced());
    visit(
        "class_tokens_from",
        class_tokens_from,
        Field{"Block from which class_tokens are there, counted from 0; as many blocks at the end "
              "are without them",
              base::from(0, 2048)}
            .read_by("class_tokens"));
    visit("patch_bottleneck",
          patch_bottleneck,
          Field{"Width between two products that make a token of a patch (JiT: 128); 0: one "
                "product, as published",
                base::from(0, 1 << 17)}
              .advanced());
    visit(
        "augment_dim",
        augment_dim,
        Field{"Numbers by which the network is told how its image was changed, for --augment (9); "
              "0: none",
              base::from(0, 4096)}
            .advanced());
    visit("fusion",
          fusion,
          Field{"Blocks at either end outside of a path whose output is fused with its input, for "
                "route_share (SPRINT: 2); 0: no fusion",
                base::from(0, 2048)}
              .advanced());
    visit("value_residual",
          value_residual,
          Field{"Mix the values of the first block into those of every block, by a learned share"}
              .advanced());
  }

  /// Throws std::invalid_argument if fields are inconsistent.
  void validate() const;

  int64_t patches() const { return (img_size / patch_size) * (img_size / patch_size); }
  /// Tokens before the patches: the time, and the label or the context.
  int64_t extras() const { return 1 + (num_classes > 0 ? 1 : 0) + num_clip_token; }
  /// Blocks, in order: depth / 2 in-blocks, the middle one, depth / 2 out-blocks.
  int64_t blocks() const { return depth / 2 * 2 + 1; }
  /// Width between the two products of the MLP; of a SwiGLU two thirds of embed_dim mlp_ratio.
  int64_t mlp_hidden() const {
    const auto hidden = static_cast<int64_t>(embed_dim * mlp_ratio);
    return mlp == "swiglu" ? 2 * hidden / 3 : hidden;
  }
  /// Patches that a route keeps, at least one.
  int64_t kept_patches(double share) const {
    return std::max<int64_t>(1, std::llround(static_cast<double>(patches()) * share));
  }
  /// Whether a CPU computes every block whole (kernels/cpu/fused_block.h).
  bool has_fused_blocks() const;
  /// Whether blocks are other than the published ones, which alone a GPU computes whole.
  bool changes_blocks() const {
    return norm != "layer" || mlp != "gelu" || qk_norm || rope || value_residual;
  }

 private:
  void validate_class_tokens() const;
};

/// As in model/network_config.h, for this kind of network.
int64_t parameter_count(const UViTConfig& config);

/// Those in matrices of hidden layers.
int64_t hidden_parameter_count(const UViTConfig& config);

double forward_flops(const UViTConfig& config, const PartialPass& pass);

NetworkInput input_of(const UViTConfig& config);

/// With D the width, H the width of the MLP and c the bytes of the compute dtype, a fused block
/// keeps for each token:
///
///   8 D          the residual stream before attention and before the MLP, float32
///   (4 D + H) c  qkv, the result of attention, and the MLP before GELU
///   c D          the input, in a block with a skip connection
///
/// and the statistics of the rows. Plain tensor code also keeps both norms, the value of GELU and
/// the scores of attention, and changed blocks what their parts keep. A fused SwiGLU keeps 2 H c,
/// and a fused norm of queries and keys qkv before it. Recomputed blocks keep their
/// input only. A fusion keeps its 2 D c of input.
ActivationBytes activation_bytes(const UViTConfig& config, const ActivationSettings& settings);

/// Whether two configs describe the same computation.
bool same_uvit(const UViTConfig& a, const UViTConfig& b);

}  // namespace uvic::model

extern template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::model::UViTConfig&);
