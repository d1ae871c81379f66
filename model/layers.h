// The parts of the backbone. Module names are the official state_dict's.
#pragma once

#include <torch/torch.h>

#include <cstdint>

#include "model/attention/attention.h"

namespace uvic::model {

/// [cos(t f), sin(t f)] with f_i = 10000^(-i / (dim / 2)); an odd dim ends in a zero.
/// timesteps [B]; returns [B, dim], float32 whatever the input.
torch::Tensor timestep_embedding(const torch::Tensor& timesteps, int64_t dim);

/// y = x W^T + b. The product runs in the dtype of x, whatever dtype the parameters have.
class LinearImpl : public torch::nn::Module {
 public:
  LinearImpl(int64_t in_features, int64_t out_features, bool bias = true);
  torch::Tensor forward(const torch::Tensor& x);  ///< [..., in] -> [..., out]

  torch::Tensor weight;  ///< [out, in], truncated normal, std 0.02
  torch::Tensor bias;    ///< [out], zero; undefined where there is none
};
TORCH_MODULE(Linear);

/// y = (x - mean) / sqrt(var + 1e-5) * weight + bias over the last dimension, statistics in float32
/// or wider.
class LayerNormImpl : public torch::nn::Module {
 public:
  explicit LayerNormImpl(int64_t dim);
  torch::Tensor forward(const torch::Tensor& x,
                        torch::Dtype out);  ///< [..., dim], result in dtype `out`

  torch::Tensor weight, bias;  ///< [dim]
};
TORCH_MODULE(LayerNorm);

/// Two-layer perceptron with the exact (erf) GELU.
class MlpImpl : public torch::nn::Module {
 public:
  MlpImpl(int64_t dim, int64_t hidden);
  torch::Tensor forward(const torch::Tensor& x);  ///< [B, L, dim] -> [B, L, dim]

  Linear fc1{nullptr}, fc2{nullptr};
};
TORCH_MODULE(Mlp);

/// Multi-head self-attention of a given kind; qkv is split as (K H D), K = 3.
class AttentionImpl : public torch::nn::Module {
 public:
  AttentionImpl(
      int64_t dim, int64_t num_heads, bool qkv_bias, double scale, const AttentionKind& kind);

  /// [B, L, dim] -> [B, L, dim]. `values`, if given, holds the values of the block before (or
  /// nothing) and takes this block's, [B, H, L, D], cut off from the graph.
  torch::Tensor forward(const torch::Tensor& x, torch::Tensor* values);

  int64_t num_heads() const { return num_heads_; }
  double scale() const { return scale_; }
  const AttentionKind& kind() const { return *kind_; }

  Linear qkv{nullptr}, proj{nullptr};

 private:
  int64_t num_heads_;
  double scale_;
  const AttentionKind* kind_;
};
TORCH_MODULE(Attention);

/// x = skip_linear([x, skip]) (out blocks only); x += attn(norm1(x)); x += mlp(norm2(x)).
class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(int64_t dim, int64_t hidden, Attention attention, bool skip);

  /// x and skip [B, L, dim]; skip undefined where the block takes none. Products run in `compute`;
  /// the residual stream keeps the dtype of x.
  torch::Tensor forward(torch::Tensor x,
                        const torch::Tensor& skip,
                        torch::Tensor* values,
                        torch::Dtype compute);

  LayerNorm norm1{nullptr};
  Attention attn{nullptr};
  LayerNorm norm2{nullptr};
  Mlp mlp{nullptr};
  Linear skip_linear{nullptr};
};
TORCH_MODULE(Block);

/// Cuts an image into patches and projects each: the official convolution of stride patch_size, as
/// one product.
class PatchEmbedImpl : public torch::nn::Module {
 public:
  PatchEmbedImpl(int64_t patch_size, int64_t in_chans, int64_t embed_dim);
  torch::Tensor forward(
      const torch::Tensor& x);  ///< [B, C, H, W] -> [B, (H / p) (W / p), embed_dim]

  torch::nn::Conv2d proj{nullptr};
};
TORCH_MODULE(PatchEmbed);

/// The inverse cut: [B, h w, p p C], channel fastest, -> [B, C, h p, w p], for h = w.
torch::Tensor unpatchify(const torch::Tensor& tokens, int64_t channels);

/// Normal with the given std, cut off at +-2: how the official code fills weights and pos_embed.
void trunc_normal_(torch::Tensor tensor, double std);

}  // namespace uvic::model
