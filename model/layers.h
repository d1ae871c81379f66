// The layers of the backbone. Modules are named as in the official state_dict.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <vector>

#include "base/torch.h"
#include "model/attention/attention.h"
#include "model/attention/probe.h"
#include "model/linear.h"
#include "model/rotary.h"

namespace uvic::model {

/// [cos(t f), sin(t f)] with f_i = 10000^(-i / (dim / 2)); an odd dim ends in a zero.
/// timesteps [B]; returns float32 [B, dim].
torch::Tensor timestep_embedding(const torch::Tensor& timesteps, int64_t dim);

/// y = weight * x / sqrt(mean(x^2) + epsilon) over the last dimension, in float32 or wider.
/// Source: Zhang and Sennrich 2019, arXiv:1910.07467.
class RmsNormImpl : public torch::nn::Module {
 public:
  RmsNormImpl(int64_t dim, double epsilon);
  torch::Tensor forward(const torch::Tensor& x, torch::Dtype out);  ///< result in dtype `out`

  torch::Tensor weight;  ///< [dim]

 private:
  double epsilon_;
};
TORCH_MODULE(RmsNorm);

/// What a network may have in place of the published block's parts. All are off there.
struct LayerOptions {
  bool rms_norm = false;  ///< RMSNorm (epsilon 1e-6, no bias) in place of LayerNorm
  bool swiglu = false;    ///< in place of GELU; Shazeer 2020, arXiv:2002.05202
  /// RMSNorm of each head's queries and keys, with weights of its own, before they are rotated;
  /// Dehghani et al. 2023, arXiv:2302.05442, with RMSNorm as in LightningDiT's code
  bool qk_norm = false;
  /// v = l v_1 + (1 - l) v, v_1 the values of the first block and l learned; Zhou et al. 2024,
  /// arXiv:2410.17897
  bool value_residual = false;

  bool any() const { return rms_norm || swiglu || qk_norm || value_residual; }
};

/// y = (x - mean) / sqrt(var + 1e-5) * weight + bias over the last dimension, statistics in float32
/// or wider. With `rms` it is RmsNorm, without a bias.
class LayerNormImpl : public torch::nn::Module {
 public:
  explicit LayerNormImpl(int64_t dim, bool rms = false);
  torch::Tensor forward(const torch::Tensor& x,
                        torch::Dtype out);  ///< [..., dim], result in dtype `out`

  torch::Tensor weight, bias;  ///< [dim]; the bias is undefined with `rms`
};
TORCH_MODULE(LayerNorm);

/// fc2(gelu(fc1(x))) with the exact (erf) GELU, or w3(silu(a) * b), [a, b] = w12(x): a SwiGLU,
/// named as in DINOv2's code.
class MlpImpl : public torch::nn::Module {
 public:
  MlpImpl(int64_t dim, int64_t hidden, bool swiglu = false);
  torch::Tensor forward(const torch::Tensor& x);  ///< [B, L, dim] -> [B, L, dim]

  Linear fc1{nullptr}, fc2{nullptr};  ///< dim -> hidden -> dim; null in a SwiGLU
  Linear w12{nullptr}, w3{nullptr};   ///< dim -> 2 hidden, hidden -> dim; null otherwise
};
TORCH_MODULE(Mlp);

/// What a block is given besides its input.
struct BlockCall {
  /// If not null, the values of the block before (or an undefined tensor); receives those of this
  /// block, [B, H, L, D], without gradient. Only some kinds of attention read them.
  torch::Tensor* values = nullptr;
  /// With value_residual: those of the first block, which sets them where they are undefined.
  torch::Tensor* first_values = nullptr;
  Rotations rotations{};  ///< of queries and keys; undefined: none
  torch::Dtype compute = torch::kFloat32;
};

/// Multi-head self-attention of a given kind; qkv is split as (K H D), K = 3.
class AttentionImpl : public torch::nn::Module {
 public:
  /// `layer`: the number of the block, from 0.
  AttentionImpl(int64_t dim,
                int64_t num_heads,
                bool qkv_bias,
                double scale,
                const AttentionKind& kind,
                int64_t layer = 0,
                const LayerOptions& options = {});

  torch::Tensor forward(const torch::Tensor& x, const BlockCall& call);  ///< [B, L, dim], same

  /// What the kind is given for the input x [B, L, dim], with the heads split.
  AttentionInput heads_input(const torch::Tensor& x, const BlockCall& call);

  int64_t layer() const { return layer_; }
  int64_t num_heads() const { return num_heads_; }
  double scale() const { return scale_; }
  const AttentionKind& kind() const { return *kind_; }

  Linear qkv{nullptr}, proj{nullptr};
  Linear gate{nullptr};                      ///< dim -> dim; null unless the kind is gated
  RmsNorm q_norm{nullptr}, k_norm{nullptr};  ///< of the head's width; null without qk_norm
  torch::Tensor v_residual;  ///< [1], the l of value_residual, 0.5 at first; undefined in layer 0

 private:
  AttentionInput beside_qkv(const torch::Tensor& x);
  void place_heads(const torch::Tensor& projected, const BlockCall& call, AttentionInput& in);

  int64_t num_heads_;
  double scale_;
  const AttentionKind* kind_;
  int64_t layer_;
  bool value_residual_;
  std::vector<torch::Tensor> kind_parameters_;
};
TORCH_MODULE(Attention);

/// x = skip_linear([x, skip]) (out blocks only); x += attn(norm1(x)); x += mlp(norm2(x)).
class BlockImpl : public torch::nn::Module {
 public:
  BlockImpl(int64_t dim,
            int64_t hidden,
            Attention attention,
            bool skip,
            const LayerOptions& options = {});

  /// x and skip are [B, L, dim]. skip is undefined for a block without skip connection. Products
  /// run in the dtype call.compute. The residual stream keeps the dtype of x.
  torch::Tensor forward(torch::Tensor x, const torch::Tensor& skip, const BlockCall& call);

  LayerNorm norm1{nullptr};
  Attention attn{nullptr};
  LayerNorm norm2{nullptr};
  Mlp mlp{nullptr};
  Linear skip_linear{nullptr};

 private:
  torch::Tensor joined(const torch::Tensor& x, const torch::Tensor& skip, torch::Dtype compute);
  BlockView view(const torch::Tensor& x, const torch::Tensor& skip, const BlockCall& call);
  torch::Tensor run(torch::Tensor x, const torch::Tensor& skip, const BlockCall& call, bool fused);

  bool is_published_;  ///< what the fused blocks of a GPU compute
};
TORCH_MODULE(Block);

/// Splits an image into patches and projects each: the official convolution of stride patch_size,
/// as one product, or through a narrow width as two (Li and He 2025, arXiv:2511.13720, JiT):
/// proj2(proj(patch)), where proj has no bias.
class PatchEmbedImpl : public torch::nn::Module {
 public:
  /// `bottleneck`: the narrow width; 0: one product.
  PatchEmbedImpl(int64_t patch_size, int64_t in_chans, int64_t embed_dim, int64_t bottleneck = 0);
  torch::Tensor forward(
      const torch::Tensor& x);  ///< [B, C, H, W] -> [B, (H / p) (W / p), embed_dim]

  torch::nn::Conv2d proj{nullptr};
  Linear proj2{nullptr};  ///< null without a bottleneck
};
TORCH_MODULE(PatchEmbed);

/// The inverse of the split: [B, h w, p p C], channel fastest, -> [B, C, h p, w p], for h = w.
torch::Tensor unpatchify(const torch::Tensor& tokens, int64_t channels);

}  // namespace uvic::model
