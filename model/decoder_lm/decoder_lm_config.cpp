#include "model/decoder_lm/decoder_lm_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "model/attention/attention.h"
#include "model/network_config.h"
#include "model/uvit/placement.h"

namespace uvic::model {
namespace {

constexpr double kFloatBytes = 4;

std::string text_of(DecoderLMConfig config) {
  config.use_checkpoint = false;
  config.init = DecoderLMConfig().init;
  config.head_dim = config.head_width();
  config.num_key_value_heads = config.key_value_heads();
  if (config.attention == "softmax") config.placement = "none";
  std::string text;
  config.fields([&](const char* name, auto& field, const base::Field&) {
    text += fmt::format("{} = {}\n", name, field);
  });
  return text;
}

int64_t linear_size(int64_t in, int64_t out, bool bias) { return in * out + (bias ? out : 0); }

/// Parameters of the attention of one layer.
int64_t attention_parameters(const DecoderLMConfig& c, const AttentionKind& kind) {
  const int64_t dim = c.hidden_size, queries = c.query_width(),
                keys = c.key_value_heads() * c.head_width();
  int64_t total =
      linear_size(dim, keys, c.attention_bias) + linear_size(queries, dim, c.attention_bias);
  if (kind.uses_scores)
    total += linear_size(dim, queries, c.attention_bias) + linear_size(dim, keys, c.attention_bias);
  if (kind.gated) total += linear_size(dim, queries, true);
  for (const auto& parameter :
       kind_parameters(kind, {c.num_attention_heads, c.head_width(), c.max_position_embeddings})) {
    int64_t numel = 1;
    for (const auto size : parameter.shape) numel *= size;
    total += numel;
  }
  return total;
}

}  // namespace

NetworkInput input_of(const DecoderLMConfig& c) {
  NetworkInput input;
  input.channels = input.size = 0;
  input.vocabulary = c.vocab_size;
  input.length = c.max_position_embeddings;
  return input;
}

void DecoderLMConfig::validate() const {
  base::check_fields(*this, "model.decoder_lm.");
  base::require(head_dim > 0 || hidden_size % num_attention_heads == 0,
                "model.decoder_lm: hidden_size {} is not a multiple of num_attention_heads {}; "
                "change one of them, or give head_dim",
                hidden_size,
                num_attention_heads);
  base::require(num_attention_heads % key_value_heads() == 0,
                "model.decoder_lm: num_attention_heads {} is not a multiple of "
                "num_key_value_heads {}; change one of them",
                num_attention_heads,
                key_value_heads());
  const auto& kind = attention_kind(attention);
  const int64_t even = positions == "rope" ? 2 * kind.score_parts : kind.score_parts;
  base::require(head_width() % even == 0,
                "model.decoder_lm: heads are {} wide, {} with positions {} need a multiple of {}",
                head_width(),
                attention,
                positions,
                even);
  base::require(rope_scaling != "llama3" || rope_high_freq_factor > rope_low_freq_factor,
                "model.decoder_lm: rope_high_freq_factor {} is not above rope_low_freq_factor {}",
                rope_high_freq_factor,
                rope_low_freq_factor);
  place_attention(placement, num_hidden_layers);
}

int64_t parameter_count(const DecoderLMConfig& c) {
  c.validate();
  const int64_t dim = c.hidden_size;
  const int64_t mlp = 2 * linear_size(dim, c.intermediate_size, c.mlp_bias) +
                      linear_size(c.intermediate_size, dim, c.mlp_bias);
  int64_t total = c.vocab_size * dim * (c.tie_word_embeddings ? 1 : 2) + dim +
                  c.num_hidden_layers * (mlp + 2 * dim);
  if (c.positions == "learned") total += c.max_position_embeddings * dim;
  for (const bool placed : place_attention(c.placement, c.num_hidden_layers))
    total += attention_parameters(c, attention_kind(placed ? c.attention : "softmax"));
  return total;
}

int64_t hidden_parameter_count(const DecoderLMConfig& c) {
  c.validate();
  const int64_t dim = c.hidden_size, queries = c.query_width(),
                keys = c.key_value_heads() * c.head_width();
  int64_t total = 0;
  for (const bool placed : place_attention(c.placement, c.num_hidden_layers)) {
    const auto& kind = attention_kind(placed ? c.attention : "softmax");
    total += 3 * dim * c.intermediate_size + dim * (keys + queries);  // MLP, v_proj and o_proj
    if (kind.uses_scores) total += dim * (keys + queries);
    if (kind.gated) total += dim * queries;
  }
  return total;
}

double forward_flops(const DecoderLMConfig& c) {
  c.validate();
  const double tokens = c.max_position_embeddings, dim = c.hidden_size, queries = c.query_width(),
               keys = static_cast<double>(c.key_value_heads() * c.head_width()),
               inner = c.intermediate_size;
  // Half of the scores are hidden, and not computed.
  const double layer = dim * (2 * queries + 2 * keys + 3 * inner) + tokens * queries;
  return 2 * tokens * (static_cast<double>(c.num_hidden_layers) * layer + dim * c.vocab_size);
}

ActivationBytes activation_bytes(const DecoderLMConfig& c, const ActivationSettings& settings) {
  const double compute = settings.bf16 ? 2 : kFloatBytes;
  const double tokens = c.max_position_embeddings, dim = c.hidden_size, queries = c.query_width(),
               keys = static_cast<double>(c.key_value_heads() * c.head_width()),
               inner = c.intermediate_size, heads = c.num_attention_heads;
  const auto& kind = attention_kind(c.attention);
  const bool scores = !settings.fused_kernels || !settings.cpu || !(kind.score || kind.composed);
  const double of_scores = scores ? 3 * kFloatBytes * heads * tokens * tokens : 0;
  const double layer =
      tokens * (6 * kFloatBytes * dim + compute * (2 * dim + 4 * queries + 3 * keys + 4 * inner)) +
      of_scores;
  const double ends = tokens * (3 * kFloatBytes * dim + 3 * kFloatBytes * c.vocab_size);
  const double backward = tokens * compute * (2 * inner + 2 * dim);
  const auto layers = static_cast<double>(c.num_hidden_layers);
  if (c.use_checkpoint) return {ends + layers * tokens * kFloatBytes * dim, layer + backward};
  return {ends + layers * layer, backward};
}

bool same_decoder_lm(const DecoderLMConfig& a, const DecoderLMConfig& b) {
  return text_of(a) == text_of(b);
}

}  // namespace uvic::model
