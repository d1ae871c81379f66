// The layers of a decoder-only language model. Modules are named as in Llama's state_dict.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "base/torch.h"
#include "model/attention/attention.h"
#include "model/attention/probe.h"
#include "model/decoder_lm/decoder_lm_config.h"
#include "model/layers.h"
#include "model/rotary.h"

namespace uvic::model {

/// The rotations of places 0 .. places - 1 for heads of `width`, float32: angle = place * f_i,
/// f_i = theta^(-2 i / width), scaled as config.rope_scaling says.
Rotations rope_rotations(const DecoderLMConfig& config, int64_t width, int64_t places);

/// The same, made once and kept on each device: a step on a GPU that copied them from the host would
/// wait for it, and could not be recorded in a CUDA graph. A table is never freed or moved while
/// the network lives, because a recording reads it where it was. For several threads at once.
class RotationTables {
 public:
  /// rope_rotations() in `dtype` on `device`. The config is the same in every call.
  Rotations get(const DecoderLMConfig& config,
                int64_t width,
                int64_t places,
                torch::Device device,
                torch::Dtype dtype);

 private:
  struct Table {
    int64_t width;
    Rotations all;
  };
  std::mutex mutex_;
  std::vector<Table> tables_;
};

/// Keys and values of one layer, of low rank before their bases and rotations.
struct LayerCache {
  torch::Tensor k, v;  ///< [B, key-value heads, capacity, D or rank]; undefined while empty;
                       ///< k also where the kind reads no keys

  /// Adds `more` [B, heads, n, width] to `kept`, k or v, after its first `used` places and returns
  /// all.
  static torch::Tensor add(torch::Tensor& kept, const torch::Tensor& more, int64_t used);
};

/// What a layer is given besides its input.
struct LayerCall {
  Rotations rotations;      ///< of the places of the input; undefined: none
  Rotations all_rotations;  ///< of these and the places before; undefined: none
  torch::Dtype compute;     ///< of products and attention
  LayerCache* cache = nullptr;
  int64_t before = 0;               ///< tokens in the cache
  torch::Tensor* values = nullptr;  ///< values of the layer before, replaced by this layer's
};

/// Causal self-attention with grouped heads, of a given kind.
///
/// Keys or values may have low rank: k_proj then gives r numbers for each head, which the cache
/// keeps, and the keys of a head are these times its basis [r, D], before rotations.
class DecoderAttentionImpl : public torch::nn::Module {
 public:
  DecoderAttentionImpl(const DecoderLMConfig& config, const AttentionKind& kind, int64_t layer);
  torch::Tensor forward(const torch::Tensor& x, const LayerCall& call);  ///< [B, L, dim], same

  /// Queries, keys, values and what else the kind reads, each with a head for each of the queries'.
  /// Takes and gives the cache and the values of `call`.
  AttentionInput heads_input(const torch::Tensor& x, const LayerCall& call);
  const AttentionKind& kind() const { return *kind_; }
  int64_t layer() const { return layer_; }
  /// The weight of v_proj with the rows of each group repeated for its query heads: [H D, dim].
  torch::Tensor value_weight() const;

  Linear q_proj{nullptr}, k_proj{nullptr};  ///< null where the kind uses no scores
  Linear v_proj{nullptr}, o_proj{nullptr};
  Linear gate_proj{nullptr};  ///< null unless the kind is gated
  /// [key-value heads, r, D]; undefined where keys or values have the whole width.
  torch::Tensor k_basis, v_basis;

 private:
  void read_cache(torch::Tensor& k, torch::Tensor& v, const LayerCall& call) const;

  int64_t heads_, key_value_heads_, width_, layer_;
  const AttentionKind* kind_;
  std::vector<torch::Tensor> kind_parameters_;
};
TORCH_MODULE(DecoderAttention);

/// down(silu(gate(x)) * up(x)). Source: Shazeer 2020, arXiv:2002.05202.
class SwiGluImpl : public torch::nn::Module {
 public:
  SwiGluImpl(int64_t dim, int64_t inner, bool bias);
  torch::Tensor forward(const torch::Tensor& x);  ///< [B, L, dim] -> [B, L, dim]

  Linear gate_proj{nullptr}, up_proj{nullptr}, down_proj{nullptr};
};
TORCH_MODULE(SwiGlu);

/// x += self_attn(input_layernorm(x)); x += mlp(post_attention_layernorm(x)).
class DecoderLayerImpl : public torch::nn::Module {
 public:
  DecoderLayerImpl(const DecoderLMConfig& config, const AttentionKind& kind, int64_t layer);
  /// x is [B, L, dim]; the residual stream keeps its dtype.
  torch::Tensor forward(torch::Tensor x, const LayerCall& call);

  /// What probes are shown, without `out`; the call keeps its values. Not with a cache.
  BlockView view(const torch::Tensor& x, const LayerCall& call);

  DecoderAttention self_attn{nullptr};
  SwiGlu mlp{nullptr};
  RmsNorm input_layernorm{nullptr}, post_attention_layernorm{nullptr};
};
TORCH_MODULE(DecoderLayer);

}  // namespace uvic::model
