#include "model/decoder_lm/decoder_lm_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/tensor_text.h"
#include "model/attention/attention.h"
#include "model/attention/kept_scores.h"
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
  const auto ranks = cache_ranks(config);
  config.key_ranks.clear(), config.value_ranks.clear();
  for (const auto& of_layer : ranks) {
    config.key_ranks += fmt::format("{},", of_layer.key);
    config.value_ranks += fmt::format("{},", of_layer.value);
  }
  std::string text;
  for (const auto& leaf : base::leaves_of(config))
    text += fmt::format("{} = {}\n", leaf.name, leaf.text());
  return text;
}

int64_t linear_size(int64_t in, int64_t out, bool bias) { return in * out + (bias ? out : 0); }

/// Ranks of one list, or 0 for each layer.
std::vector<int64_t> parse_ranks(const std::string& list,
                                 const char* name,
                                 int64_t layers,
                                 int64_t width) {
  std::vector<int64_t> ranks;
  if (list.empty()) return std::vector<int64_t>(static_cast<size_t>(layers), 0);
  const char* at = list.data();
  const char* const end = at + list.size();
  while (at < end) {
    int64_t rank = 0;
    const auto [stop, error] = std::from_chars(at, end, rank);
    base::require(error == std::errc() && rank >= 0 && rank < width &&
                      (stop == end || (*stop == ',' && stop + 1 < end)),
                  "model.decoder_lm.{} {}: give a rank below the {} channels of a head for each "
                  "layer, such as 16,8,0",
                  name,
                  base::printable_text(list),
                  width);
    ranks.push_back(rank);
    at = stop == end ? end : stop + 1;
  }
  base::require(static_cast<int64_t>(ranks.size()) == layers,
                "model.decoder_lm.{}: {} ranks, the network has {} layers",
                name,
                ranks.size(),
                layers);
  return ranks;
}

/// Parameters of the attention of one layer.
int64_t attention_parameters(const DecoderLMConfig& c,
                             const AttentionKind& kind,
                             const CacheRanks& ranks) {
  const int64_t dim = c.hidden_size, queries = c.query_width(), heads = c.key_value_heads(),
                width = c.head_width();
  int64_t total = linear_size(dim, heads * ranks.value_width(width), c.attention_bias) +
                  linear_size(queries, dim, c.attention_bias) + heads * ranks.value * width;
  if (kind.uses_scores)
    total += linear_size(dim, queries, c.attention_bias) +
             linear_size(dim, heads * ranks.key_width(width), c.attention_bias) +
             heads * ranks.key * width;
  if (kind.gated) total += linear_size(dim, queries, true);
  for (const auto& parameter :
       kind_parameters(kind, {c.num_attention_heads, c.head_width(), c.max_position_embeddings})) {
    int64_t numel = 1;
    for (const auto size : parameter.shape) numel *= size;
    total += numel;
  }
  return total;
}

/// Layers whose attention keeps its scores for the backward pass.
int64_t layers_with_scores(const DecoderLMConfig& c, const ActivationSettings& settings) {
  const auto placed = place_attention(c.placement, c.num_hidden_layers);
  return std::count_if(placed.begin(), placed.end(), [&](bool own) {
    return keeps_scores(attention_kind(own ? c.attention : "softmax"), c.head_width(), settings);
  });
}

}  // namespace

std::vector<CacheRanks> cache_ranks(const DecoderLMConfig& c) {
  const auto keys = parse_ranks(c.key_ranks, "key_ranks", c.num_hidden_layers, c.head_width()),
             values =
                 parse_ranks(c.value_ranks, "value_ranks", c.num_hidden_layers, c.head_width());
  std::vector<CacheRanks> ranks;
  for (size_t i = 0; i < keys.size(); ++i) ranks.push_back({keys[i], values[i]});
  return ranks;
}

int64_t cache_numbers(const DecoderLMConfig& c) {
  const auto placed = place_attention(c.placement, c.num_hidden_layers);
  const auto ranks = cache_ranks(c);
  int64_t of_a_head = 0;
  for (size_t i = 0; i < ranks.size(); ++i) {
    of_a_head += ranks[i].value_width(c.head_width());
    if (attention_kind(placed[i] ? c.attention : "softmax").uses_scores)
      of_a_head += ranks[i].key_width(c.head_width());
  }
  return of_a_head * c.key_value_heads();
}

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
  const auto placed = place_attention(placement, num_hidden_layers);
  const auto ranks = cache_ranks(*this);
  for (size_t i = 0; i < ranks.size(); ++i)
    base::require(
        ranks[i].key == 0 || attention_kind(placed[i] ? attention : "softmax").uses_scores,
        "model.decoder_lm.key_ranks: layer {} is {}, which has no keys; give it rank 0",
        i,
        attention);
}

int64_t parameter_count(const DecoderLMConfig& c) {
  c.validate();
  const int64_t dim = c.hidden_size;
  const int64_t mlp = 2 * linear_size(dim, c.intermediate_size, c.mlp_bias) +
                      linear_size(c.intermediate_size, dim, c.mlp_bias);
  int64_t total = c.vocab_size * dim * (c.tie_word_embeddings ? 1 : 2) + dim +
                  c.num_hidden_layers * (mlp + 2 * dim);
  if (c.positions == "learned") total += c.max_position_embeddings * dim;
  const auto placed = place_attention(c.placement, c.num_hidden_layers);
  const auto ranks = cache_ranks(c);
  for (size_t i = 0; i < ranks.size(); ++i)
    total += attention_parameters(c, attention_kind(placed[i] ? c.attention : "softmax"), ranks[i]);
  return total;
}

int64_t hidden_parameter_count(const DecoderLMConfig& c) {
  c.validate();
  const int64_t dim = c.hidden_size, queries = c.query_width(), heads = c.key_value_heads(),
                width = c.head_width();
  int64_t total = 0;
  const auto all_placed = place_attention(c.placement, c.num_hidden_layers);
  const auto ranks = cache_ranks(c);
  for (size_t i = 0; i < ranks.size(); ++i) {
    const auto& kind = attention_kind(all_placed[i] ? c.attention : "softmax");
    // MLP, v_proj and o_proj
    total += 3 * dim * c.intermediate_size + dim * (heads * ranks[i].value_width(width) + queries);
    if (kind.uses_scores) total += dim * (heads * ranks[i].key_width(width) + queries);
    if (kind.gated) total += dim * queries;
  }
  return total;
}

double forward_flops(const DecoderLMConfig& c) {
  c.validate();
  const double tokens = c.max_position_embeddings, dim = c.hidden_size, queries = c.query_width(),
               inner = c.intermediate_size, heads = c.key_value_heads();
  const int64_t width = c.head_width();
  double layers = 0;
  for (const auto& ranks : cache_ranks(c)) {
    const auto keys = heads * static_cast<double>(ranks.key_width(width)),
               values = heads * static_cast<double>(ranks.value_width(width));
    const auto bases = heads * static_cast<double>((ranks.key + ranks.value) * width);
    // Half of the scores are hidden, and not computed.
    layers += dim * (2 * queries + keys + values + 3 * inner) + bases + tokens * queries;
  }
  return 2 * tokens * (layers + dim * c.vocab_size);
}

ActivationBytes activation_bytes(const DecoderLMConfig& c, const ActivationSettings& settings) {
  const double compute = settings.bf16 ? 2 : kFloatBytes;
  const double tokens = c.max_position_embeddings, dim = c.hidden_size, queries = c.query_width(),
               keys = static_cast<double>(c.key_value_heads() * c.head_width()),
               inner = c.intermediate_size, heads = c.num_attention_heads;
  const auto all_layers = static_cast<double>(c.num_hidden_layers);
  double latents = 0;  // of a layer, the mean: keys and values before their bases
  for (const auto& ranks : cache_ranks(c))
    latents += static_cast<double>(c.key_value_heads() * (ranks.key + ranks.value)) / all_layers;
  const double scores = 3 * kFloatBytes * heads * tokens * tokens;
  const auto with_scores = static_cast<double>(layers_with_scores(c, settings));
  const double layer =
      tokens *
      (6 * kFloatBytes * dim + compute * (2 * dim + 4 * queries + 3 * keys + latents + 4 * inner));
  const double ends = tokens * (3 * kFloatBytes * dim + 3 * kFloatBytes * c.vocab_size);
  const double backward = tokens * compute * (2 * inner + 2 * dim);
  const auto layers = static_cast<double>(c.num_hidden_layers);
  if (c.use_checkpoint)
    return {ends + layers * tokens * kFloatBytes * dim,
            layer + (with_scores > 0 ? scores : 0) + backward};
  return {ends + layers * layer + with_scores * scores, backward};
}

bool same_decoder_lm(const DecoderLMConfig& a, const DecoderLMConfig& b) {
  return text_of(a) == text_of(b);
}

}  // namespace uvic::model

template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::model::DecoderLMConfig&);
