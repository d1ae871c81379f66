// The options of a decoder-only language model, and its properties that follow from them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/field.h"
#include "model/attention_choices.h"

namespace uvic::model {

struct ActivationBytes;
struct ActivationSettings;
struct NetworkInput;

/// The options of Hugging Face's LlamaConfig, with the same names, and the attention of each layer.
struct DecoderLMConfig {
  int64_t vocab_size = 32000;
  int64_t hidden_size = 768;
  int64_t intermediate_size = 2304;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  bool attention_bias = false;
  bool mlp_bias = false;
  std::string positions = "rope";
  double rope_theta = 10000;
  std::string rope_scaling = "none";
  double rope_factor = 1;
  double rope_low_freq_factor = 1;
  double rope_high_freq_factor = 4;
  int64_t rope_original_positions = 8192;
  bool use_checkpoint = false;
  std::string attention = "cog";
  std::string placement = "inner";
  std::string init = "official";
  std::string key_ranks;
  std::string value_ranks;

  template <class Visitor>
  void fields(Visitor&& visit) {
    using base::Field;
    visit("vocab_size", vocab_size, Field{"Tokens of the vocabulary", base::from(1, 1 << 24)});
    visit("hidden_size", hidden_size, Field{"Width", base::from(1, 1 << 20)});
    visit("intermediate_size",
          intermediate_size,
          Field{"Hidden width of the SwiGLU", base::from(1, 1 << 22)});
    visit("num_hidden_layers", num_hidden_layers, Field{"Layers", base::from(1, 4096)});
    visit("num_attention_heads",
          num_attention_heads,
          Field{"Attention heads (of queries)", base::from(1, 1 << 17)});
    visit("num_key_value_heads",
          num_key_value_heads,
          Field{"Heads of keys and values, each shared by a group of query heads; 0: as many as of "
                "queries",
                base::from(0, 1 << 17)}
              .advanced());
    visit("head_dim",
          head_dim,
          Field{"Width of a head; 0: hidden_size / num_attention_heads", base::from(0, 1 << 16)}
              .advanced());
    visit("max_position_embeddings",
          max_position_embeddings,
          Field{"The longest sequence that the network is trained on, tokens",
                base::from(1, 1 << 24)});
    visit("rms_norm_eps",
          rms_norm_eps,
          Field{"Added to the mean square in RMSNorm", base::from(0, 1)}.advanced());
    visit("tie_word_embeddings",
          tie_word_embeddings,
          Field{"The head has the weights of the embedding"}.advanced());
    visit("attention_bias", attention_bias, Field{"Bias in q, k, v and o"}.advanced());
    visit("mlp_bias", mlp_bias, Field{"Bias in the SwiGLU"}.advanced());
    visit("positions",
          positions,
          Field{"Position encoding",
                {{"rope", "rotations of queries and keys"},
                 {"learned", "an embedding for each place"},
                 {"none", "from the causal mask alone"}}});
    visit("rope_theta",
          rope_theta,
          Field{"Base of RoPE", base::above(0, 1e12)}.read_by("positions rope"));
    visit("rope_scaling",
          rope_scaling,
          Field{"RoPE beyond the length of pre-training",
                {{"none", ""}, {"linear", "positions / factor"}, {"llama3", "as Llama 3.1"}}}
              .advanced());
    visit("rope_factor",
          rope_factor,
          Field{"Factor of the scaling", base::from(1, 1e6)}.read_by("linear, llama3"));
    visit("rope_low_freq_factor",
          rope_low_freq_factor,
          Field{"Wavelengths above original / this are scaled", base::above(0, 1e6)}.read_by(
              "llama3"));
    visit(
        "rope_high_freq_factor",
        rope_high_freq_factor,
        Field{"Wavelengths below original / this are kept", base::above(0, 1e6)}.read_by("llama3"));
    visit("rope_original_positions",
          rope_original_positions,
          Field{"Length of pre-training, tokens", base::from(1, 1 << 24)}.read_by("llama3"));
    visit("use_checkpoint",
          use_checkpoint,
          Field{"Recompute layers in the backward pass: less memory, slower"}.advanced());
    visit("attention", attention, Field{"Attention kind", attention_choices()});
    visit("placement",
          placement,
          Field{"Layers that use `attention`, the others use softmax: a list of layers counted "
                "from 0, such as 1-5,7, or",
                placement_choices()}
              .or_else());
    visit("init",
          init,
          Field{"Fresh weights",
                {{"official", "standard deviation 0.02 everywhere, as Llama"},
                 {"scaled", "1/sqrt(inputs): narrow networks learn sooner"}}}
              .advanced());
    visit("key_ranks",
          key_ranks,
          Field{"Numbers that the cache keeps of a key for each head, one for each layer, such as "
                "16,8,0; 0: the width of a head; empty: 0 everywhere (uvic compress chooses them)"}
              .advanced());
    visit("value_ranks", value_ranks, Field{"The same of values"}.advanced());
  }

  /// Throws std::invalid_argument if fields are inconsistent.
  void validate() const;

  int64_t head_width() const { return head_dim > 0 ? head_dim : hidden_size / num_attention_heads; }
  int64_t query_width() const { return num_attention_heads * head_width(); }
  int64_t key_value_heads() const {
    return num_key_value_heads > 0 ? num_key_value_heads : num_attention_heads;
  }
};

/// How many numbers the cache of keys and values keeps of a token for each head of them.
struct CacheRanks {
  int64_t key = 0, value = 0;  ///< 0: the width of a head, without a basis

  /// Numbers of a key and of a value for heads of `width`.
  int64_t key_width(int64_t width) const { return key > 0 ? key : width; }
  int64_t value_width(int64_t width) const { return value > 0 ? value : width; }
};

/// Of each layer, from key_ranks and value_ranks. Throws std::invalid_argument for lists of another
/// length than the layers, and for ranks that are not below the width of a head.
std::vector<CacheRanks> cache_ranks(const DecoderLMConfig& config);

/// Numbers that the cache keeps of a token, over all layers.
int64_t cache_numbers(const DecoderLMConfig& config);

/// As in model/network_config.h, for this kind of network.
int64_t parameter_count(const DecoderLMConfig& config);
int64_t hidden_parameter_count(const DecoderLMConfig& config);
double forward_flops(const DecoderLMConfig& config);
NetworkInput input_of(const DecoderLMConfig& config);

/// With D the width, Q and K those of the queries and of the keys, I that of the SwiGLU and c the
/// bytes of the compute dtype, a layer keeps for each token
///
///   24 D            the residual stream twice, and both norms in float32
///   (2 D + 4 Q + 3 K + R + 4 I) c   inputs and results of the products, attention, and the SwiGLU;
///                   R: keys and values of low rank before their bases
///
/// plain attention also its scores, and the head keeps three times its logits in float32.
ActivationBytes activation_bytes(const DecoderLMConfig& config, const ActivationSettings& settings);

/// Whether two configs describe the same computation.
bool same_decoder_lm(const DecoderLMConfig& a, const DecoderLMConfig& b);

}  // namespace uvic::model

extern template std::vector<uvic::base::Leaf> uvic::base::leaves_of(uvic::model::DecoderLMConfig&);
