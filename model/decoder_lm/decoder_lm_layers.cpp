#include "model/decoder_lm/decoder_lm_layers.h"

#include <algorithm>
#include <cmath>

namespace uvic::model {
namespace {

constexpr double kPi = 3.14159265358979323846;

/// Llama 3.1: frequencies whose wavelength is long against the length of pre-training are divided
/// by the factor, short ones stay, those between are mixed.
double llama3_frequency(double frequency, const DecoderLMConfig& c) {
  const double original = static_cast<double>(c.rope_original_positions);
  const double wavelength = 2 * kPi / frequency;
  if (wavelength < original / c.rope_high_freq_factor) return frequency;
  if (wavelength > original / c.rope_low_freq_factor) return frequency / c.rope_factor;
  const double smooth = (original / wavelength - c.rope_low_freq_factor) /
                        (c.rope_high_freq_factor - c.rope_low_freq_factor);
  return (1 - smooth) * frequency / c.rope_factor + smooth * frequency;
}

/// [B, L, heads * D] -> [B, heads, L, D].
torch::Tensor by_head(const torch::Tensor& x, int64_t heads) {
  return x.unflatten(2, {heads, x.size(2) / heads}).transpose(1, 2);
}

/// [B, key-value heads, S, D] -> [B, heads, S, D]: each for its group of query heads.
torch::Tensor for_each_query_head(const torch::Tensor& x, int64_t heads) {
  const int64_t groups = heads / x.size(1);
  return groups == 1 ? x : x.repeat_interleave(groups, 1);
}

/// x [B, heads, S, r] times the basis of each head [heads, r, D]; x where there is none.
torch::Tensor with_basis(const torch::Tensor& x, const torch::Tensor& basis) {
  return basis.defined() ? x.matmul(basis.to(x.scalar_type())) : x;
}

/// A fresh basis: the first r channels of a head.
torch::Tensor fresh_basis(int64_t heads, int64_t rank, int64_t width) {
  return torch::eye(rank, width).unsqueeze(0).repeat({heads, 1, 1});
}

}  // namespace

Rotations rope_rotations(const DecoderLMConfig& config, int64_t width, int64_t places) {
  const int64_t half = width / 2;
  auto frequencies = torch::empty(half, torch::kFloat32);
  for (int64_t i = 0; i < half; ++i) {
    double f =
        std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(width));
    if (config.rope_scaling == "llama3") f = llama3_frequency(f, config);
    if (config.rope_scaling == "linear") f /= config.rope_factor;
    frequencies[i] = f;
  }
  const auto angles =
      torch::arange(places, torch::kFloat32).unsqueeze(1) * frequencies.unsqueeze(0);
  return {angles.cos(), angles.sin()};
}

Rotations RotationTables::get(const DecoderLMConfig& config,
                              int64_t width,
                              int64_t places,
                              torch::Device device,
                              torch::Dtype dtype) {
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t kept = 0;
  for (const auto& table : tables_) {
    const auto& cos = table.all.cos;
    if (table.width != width || cos.device() != device || cos.scalar_type() != dtype) continue;
    if (cos.size(0) >= places) return table.all.slice(0, places);
    kept = std::max(kept, cos.size(0));
  }
  // Tensors of inference could not be used in a training step later.
  const c10::InferenceMode normal(false);
  const auto made = rope_rotations(config, width, std::max(places, 2 * kept));
  tables_.push_back({width, {made.cos.to(device, dtype), made.sin.to(device, dtype)}});
  return tables_.back().all.slice(0, places);
}

torch::Tensor LayerCache::add(torch::Tensor& kept, const torch::Tensor& more, int64_t used) {
  const int64_t end = used + more.size(2);
  if (!kept.defined() || kept.size(2) < end) {
    constexpr int64_t kSmallest = 64;
    auto sizes = more.sizes().vec();
    sizes[2] = std::max({end, 2 * used, kSmallest});
    auto room = torch::empty(sizes, more.options());
    if (used > 0) room.slice(2, 0, used).copy_(kept.slice(2, 0, used));
    kept = room;
  }
  kept.slice(2, used, end).copy_(more);
  return kept.slice(2, 0, end);
}

DecoderAttentionImpl::DecoderAttentionImpl(const DecoderLMConfig& c,
                                           const AttentionKind& kind,
                                           int64_t layer)
    : heads_(c.num_attention_heads),
      key_value_heads_(c.key_value_heads()),
      width_(c.head_width()),
      layer_(layer),
      kind_(&kind) {
  const int64_t dim = c.hidden_size;
  const auto ranks = cache_ranks(c)[static_cast<size_t>(layer)];
  const int64_t keys = key_value_heads_ * ranks.key_width(width_),
                values = key_value_heads_ * ranks.value_width(width_);
  if (kind.uses_scores) {
    q_proj = register_module("q_proj", Linear(dim, c.query_width(), c.attention_bias));
    k_proj = register_module("k_proj", Linear(dim, keys, c.attention_bias));
  }
  v_proj = register_module("v_proj", Linear(dim, values, c.attention_bias));
  o_proj = register_module("o_proj", Linear(c.query_width(), dim, c.attention_bias));
  if (kind.gated) gate_proj = register_module("gate_proj", Linear(dim, c.query_width()));
  if (ranks.key > 0)
    k_basis = register_parameter("k_basis", fresh_basis(key_value_heads_, ranks.key, width_));
  if (ranks.value > 0)
    v_basis = register_parameter("v_basis", fresh_basis(key_value_heads_, ranks.value, width_));
  kind_parameters_ =
      register_kind_parameters(*this, kind, {heads_, width_, c.max_position_embeddings});
}

/// Adds what the cache keeps of k and v, whose last width is theirs or the rank, and gives the keys
/// and values of all tokens at the width of a head. Keys of low rank are rotated here.
void DecoderAttentionImpl::read_cache(torch::Tensor& k,
                                      torch::Tensor& v,
                                      const LayerCall& call) const {
  v = with_basis(LayerCache::add(call.cache->v, v, call.before), v_basis);
  if (!kind_->uses_scores) {
    k = v;
    return;
  }
  k = with_basis(LayerCache::add(call.cache->k, k, call.before), k_basis);
  if (k_basis.defined() && call.all_rotations.defined())
    k = rotate_parts(k, call.all_rotations, kind_->score_parts);
}

AttentionInput DecoderAttentionImpl::heads_input(const torch::Tensor& x, const LayerCall& call) {
  AttentionInput in;
  // Each part of the width that makes scores of its own is rotated by itself.
  const auto rotated = [&](const torch::Tensor& t) {
    return call.rotations.defined() ? rotate_parts(t, call.rotations, kind_->score_parts) : t;
  };
  auto v = by_head(v_proj->forward(x), key_value_heads_);  // [B, Hk, L, D or rank]
  torch::Tensor q, k = v;  // for kinds that read neither, tensors of the right shape
  if (kind_->uses_scores) {
    q = rotated(by_head(q_proj->forward(x), heads_));   // [B, H, L, D]
    k = by_head(k_proj->forward(x), key_value_heads_);  // [B, Hk, L, D or rank]
    if (!k_basis.defined())
      k = rotated(k);
    else if (!call.cache)
      k = rotated(with_basis(k, k_basis));
  }
  if (call.cache) {
    read_cache(k, v, call);
  } else {
    v = with_basis(v, v_basis);
    if (!kind_->uses_scores) k = v;
  }
  if (!kind_->uses_scores) q = for_each_query_head(v.slice(2, v.size(2) - x.size(1)), heads_);
  in.q = q;
  in.k = for_each_query_head(k, heads_);
  in.v = for_each_query_head(v, heads_);
  if (call.values) {
    in.v_previous = *call.values;
    *call.values = in.v.detach();
  }
  if (gate_proj) in.gate = by_head(gate_proj->forward(x), heads_);
  in.scale = 1 / std::sqrt(static_cast<double>(width_));
  in.causal = true;
  in.layer = layer_;
  in.parameters = kind_parameters_;
  return in;
}

torch::Tensor DecoderAttentionImpl::forward(const torch::Tensor& x, const LayerCall& call) {
  const auto in = heads_input(x, call);
  const auto active = active_probe();
  const auto heads = active.probe && active.probe->replaces(layer_)
                         ? active.probe->replacement(layer_, *kind_, in)
                         : attention(*kind_, in);  // [B, H, L, D]
  return o_proj->forward(heads.transpose(1, 2).flatten(2));
}

torch::Tensor DecoderAttentionImpl::value_weight() const {
  auto weight = v_proj->weight.detach().unflatten(0, {key_value_heads_, -1});  // [Hk, D, dim]
  if (v_basis.defined()) weight = v_basis.detach().transpose(1, 2).matmul(weight);
  const auto by_key_head = weight.unsqueeze(0);
  return for_each_query_head(by_key_head, heads_).reshape({heads_ * width_, -1});
}

SwiGluImpl::SwiGluImpl(int64_t dim, int64_t inner, bool bias) {
  gate_proj = register_module("gate_proj", Linear(dim, inner, bias));
  up_proj = register_module("up_proj", Linear(dim, inner, bias));
  down_proj = register_module("down_proj", Linear(inner, dim, bias));
}

torch::Tensor SwiGluImpl::forward(const torch::Tensor& x) {
  return down_proj->forward(torch::silu(gate_proj->forward(x)) * up_proj->forward(x));
}

DecoderLayerImpl::DecoderLayerImpl(const DecoderLMConfig& c,
                                   const AttentionKind& kind,
                                   int64_t layer) {
  self_attn = register_module("self_attn", DecoderAttention(c, kind, layer));
  mlp = register_module("mlp", SwiGlu(c.hidden_size, c.intermediate_size, c.mlp_bias));
  input_layernorm = register_module("input_layernorm", RmsNorm(c.hidden_size, c.rms_norm_eps));
  post_attention_layernorm =
      register_module("post_attention_layernorm", RmsNorm(c.hidden_size, c.rms_norm_eps));
}

BlockView DecoderLayerImpl::view(const torch::Tensor& x, const LayerCall& call) {
  const torch::NoGradGuard no_grad;
  // The layer itself takes and gives values too.
  auto own = call;
  torch::Tensor values;
  if (call.values) values = *call.values, own.values = &values;
  BlockView seen;
  seen.layer = self_attn->layer();
  seen.kind = &self_attn->kind();
  seen.x = x.detach();
  seen.tokens = input_layernorm->forward(seen.x, call.compute);
  seen.attention = self_attn->heads_input(seen.tokens, own);
  seen.norm_gain = input_layernorm->weight.detach();
  seen.value_weight = self_attn->value_weight();
  seen.proj_weight = self_attn->o_proj->weight.detach();
  if (self_attn->o_proj->bias.defined()) seen.proj_bias = self_attn->o_proj->bias.detach();
  return seen;
}

torch::Tensor DecoderLayerImpl::forward(torch::Tensor x, const LayerCall& call) {
  const auto [probe, first] = active_probe();
  // Tokens that follow others in a cache are a part of a sequence: probes are shown whole ones.
  const bool sees = probe && probe->sees() && !call.cache;
  BlockView seen;
  if (sees) seen = view(x, call);
  x = x + self_attn->forward(input_layernorm->forward(x, call.compute), call);
  x = x + mlp->forward(post_attention_layernorm->forward(x, call.compute));
  if (probe && probe->takes_outputs()) probe->take_output(self_attn->layer(), x);
  if (!sees) return x;
  seen.first = first;
  seen.out = x.detach();
  probe->see(seen);
  return x;
}

}  // namespace uvic::model
