#include "model/parameter_sizes.h"

#include "model/attention/attention.h"
#include "model/network.h"
#include "model/uvit/placement.h"

namespace uvic::model {
namespace {

/// Collects the sizes of one network.
struct SizeList {
  std::vector<ParameterSize> sizes;

  void one(int64_t elements) { sizes.push_back({elements, false}); }
  void linear(int64_t in, int64_t out, bool has_bias, bool is_hidden) {
    sizes.push_back({in * out, is_hidden});
    if (has_bias) one(out);
  }
  void norm(int64_t dim, bool has_bias) {
    one(dim);
    if (has_bias) one(dim);
  }
  void of_kind(const AttentionKind& kind, const KindShape& shape) {
    for (const auto& parameter : kind_parameters(kind, shape)) {
      int64_t elements = 1;
      for (const auto size : parameter.shape) elements *= size;
      one(elements);
    }
  }
};

void add_block(const UViTConfig& c, const AttentionKind& kind, int64_t index, SizeList& list) {
  const int64_t dim = c.embed_dim, heads = c.num_heads;
  const bool layer_norm = c.norm != "rms";
  list.norm(dim, layer_norm);
  list.norm(dim, layer_norm);
  list.linear(dim, 3 * dim, c.qkv_bias, true);
  list.linear(dim, dim, true, true);
  if (kind.gated) list.linear(dim, dim, true, true);
  list.of_kind(kind, {heads, dim / heads, 1});
  if (c.qk_norm) list.one(dim / heads), list.one(dim / heads);
  if (c.value_residual && index > 0) list.one(1);
  list.linear(dim, (c.mlp == "swiglu" ? 2 : 1) * c.mlp_hidden(), true, true);
  list.linear(c.mlp_hidden(), dim, true, true);
  if (c.skip && index > c.depth / 2) list.linear(2 * dim, dim, true, true);
}

std::vector<ParameterSize> sizes_of(const UViTConfig& c) {
  c.validate();
  SizeList list;
  const int64_t dim = c.embed_dim, patch = c.patch_size * c.patch_size * c.in_chans;
  list.one((c.extras() + c.patches()) * dim);
  if (c.class_tokens > 0) list.one(c.class_tokens * dim);
  const int64_t narrow = c.patch_bottleneck;
  list.linear(patch, narrow > 0 ? narrow : dim, narrow == 0, false);
  if (narrow > 0) list.linear(narrow, dim, true, false);
  if (c.mlp_time_embed) {
    list.linear(dim, 4 * dim, true, false);
    list.linear(4 * dim, dim, true, false);
  }
  if (c.num_classes > 0) list.one(c.num_classes * dim);
  if (c.clip_dim > 0) list.linear(c.clip_dim, dim, true, false);
  if (c.augment_dim > 0) list.linear(c.augment_dim, dim, false, false);
  int64_t index = 0;
  for (const bool placed : place_attention(c.placement, c.blocks()))
    add_block(c, attention_kind(placed ? c.attention : "softmax"), index++, list);
  list.norm(dim, c.norm != "rms");
  list.linear(dim, patch, true, false);
  if (c.conv) list.linear(9 * c.in_chans, c.in_chans, true, false);
  if (c.fusion > 0) list.linear(2 * dim, dim, true, true), list.one(dim);
  return list.sizes;
}

void add_layer(const DecoderLMConfig& c, const AttentionKind& kind, SizeList& list) {
  const int64_t dim = c.hidden_size, queries = c.query_width(),
                keys = c.key_value_heads() * c.head_width();
  list.norm(dim, false);
  list.norm(dim, false);
  if (kind.uses_scores) {
    list.linear(dim, queries, c.attention_bias, true);
    list.linear(dim, keys, c.attention_bias, true);
  }
  list.linear(dim, keys, c.attention_bias, true);
  list.linear(queries, dim, c.attention_bias, true);
  if (kind.gated) list.linear(dim, queries, true, true);
  list.of_kind(kind, {c.num_attention_heads, c.head_width(), c.max_position_embeddings});
  list.linear(dim, c.intermediate_size, c.mlp_bias, true);
  list.linear(dim, c.intermediate_size, c.mlp_bias, true);
  list.linear(c.intermediate_size, dim, c.mlp_bias, true);
}

std::vector<ParameterSize> sizes_of(const DecoderLMConfig& c) {
  c.validate();
  SizeList list;
  list.one(c.vocab_size * c.hidden_size);
  if (c.positions == "learned") list.one(c.max_position_embeddings * c.hidden_size);
  for (const bool placed : place_attention(c.placement, c.num_hidden_layers))
    add_layer(c, attention_kind(placed ? c.attention : "softmax"), list);
  list.norm(c.hidden_size, false);
  if (!c.tie_word_embeddings) list.linear(c.hidden_size, c.vocab_size, false, false);
  return list.sizes;
}

}  // namespace

std::vector<ParameterSize> parameter_sizes(const NetworkConfig& config) {
  if (config.kind == "uvit") return sizes_of(config.uvit);
  if (config.kind == "decoder_lm") return sizes_of(config.decoder_lm);
  std::vector<ParameterSize> sizes;
  const auto network = make_network(config);
  for (const auto& item : network->named_parameters())
    sizes.push_back({item.value().numel(), network->stacked_matrices(item.key()) > 0});
  return sizes;
}

}  // namespace uvic::model
