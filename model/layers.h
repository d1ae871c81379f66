// The layers of the backbone. Modules are named as in the official state_dict.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "model/attention/attention.h"
#include "model/attention/probe.h"

namespace uvic::model {

/// [cos(t f), sin(t f)] with f_i = 10000^(-i / (dim / 2)); an odd dim ends in a zero.
/// timesteps [B]; returns float32 [B, dim].
torch::Tensor timestep_embedding(const torch::Tensor& timesteps, int64_t dim);

/// y = x W^T + b. The product runs in the dtype of x, for every dtype of the parameters.
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
  /// `layer`: the number of the block, from 0.
  AttentionImpl(int64_t dim,
                int64_t num_heads,
                bool qkv_bias,
                double scale,
                const AttentionKind& kind,
                int64_t layer = 0);

  /// [B, L, dim] -> [B, L, dim]. `values`, if not null, contains the values of the block before (or
  /// an undefined tensor). It receives the values of this block, [B, H, L, D], without gradient.
  torch::Tensor forward(const torch::Tensor& x, torch::Tensor* values);

  /// What the kind is given for the input x [B, L, dim], with the heads split.
  AttentionInput heads_input(const torch::Tensor& x, const torch::Tensor& v_previous);

  int64_t layer() const { return layer_; }
  int64_t num_heads() const { return num_heads_; }
  double scale() const { return scale_; }
  const AttentionKind& kind() const { return *kind_; }

  Linear qkv{nullptr}, proj{nullptr};
  Linear gate{nullptr};  ///< dim -> dim; null unless the kind is gated

 private:
  AttentionInput beside_qkv(const torch::Tensor& x, const torch::Tensor& v_previous);

  int64_t num_heads_;
  double scale_;
  const AttentionKind* kind_;
  int64_t layer_;
  std::vector<torch::Tensor> kind_parameters_;
};
TORCH_MODULE(Attention);

/// x = skip_linear([x, skip]) (out blocks only); x += attn(norm1(x)); x += mlp(norm2(x)).
class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(int64_t dim, int64_t hidden, Attention attention, bool skip);

  /// x and skip are [B, L, dim]. skip is undefined for a block without skip connection. Products
  /// run in the dtype `compute`. The residual stream keeps the dtype of x.
  torch::Tensor forward(torch::Tensor x,
                        const torch::Tensor& skip,
                        torch::Tensor* values,
                        torch::Dtype compute);

  LayerNorm norm1{nullptr};
  Attention attn{nullptr};
  LayerNorm norm2{nullptr};
  Mlp mlp{nullptr};
  Linear skip_linear{nullptr};

 private:
  torch::Tensor joined(const torch::Tensor& x, const torch::Tensor& skip, torch::Dtype compute);
  BlockView view(const torch::Tensor& x,
                 const torch::Tensor& skip,
                 const torch::Tensor& v_previous,
                 torch::Dtype compute);
  torch::Tensor run(torch::Tensor x,
                    const torch::Tensor& skip,
                    torch::Tensor* values,
                    torch::Dtype compute,
                    bool fused);
};
TORCH_MODULE(Block);

/// Splits an image into patches and projects each: the official convolution of stride patch_size,
/// as one product.
class PatchEmbedImpl : public torch::nn::Module {
 public:
  PatchEmbedImpl(int64_t patch_size, int64_t in_chans, int64_t embed_dim);
  torch::Tensor forward(
      const torch::Tensor& x);  ///< [B, C, H, W] -> [B, (H / p) (W / p), embed_dim]

  torch::nn::Conv2d proj{nullptr};
};
TORCH_MODULE(PatchEmbed);

/// The inverse of the split: [B, h w, p p C], channel fastest, -> [B, C, h p, w p], for h = w.
torch::Tensor unpatchify(const torch::Tensor& tokens, int64_t channels);

/// Fills `tensor` from N(0, std^2), truncated to [-2, 2], as the official code does.
void trunc_normal_(torch::Tensor tensor, double std);

}  // namespace uvic::model
