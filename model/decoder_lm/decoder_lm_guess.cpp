#include "model/decoder_lm/decoder_lm_guess.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/tensor_text.h"
#include "base/torch.h"
#include "data/formats/json.h"

namespace uvic::model {
namespace {

using nlohmann::json;

const torch::Tensor& matrix(const NamedTensors& tensors,
                            const std::string& name,
                            const std::string& source) {
  const auto found = tensors.find(name);
  base::require(found != tensors.end() && found->second.dim() == 2,
                "{}: {} {}; these are not the weights of a Llama-like network",
                source,
                found == tensors.end() ? "no" : "unexpected shape of",
                name);
  return found->second;
}

/// The name of the first tensor `model.layers.N.` + `name` of any layer, or "".
std::string in_any_layer(const NamedTensors& tensors, int64_t layers, const std::string& name) {
  for (int64_t i = 0; i < layers; ++i) {
    auto full = fmt::format("model.layers.{}.{}", i, name);
    if (tensors.count(full)) return full;
  }
  return "";
}

/// config.json as Hugging Face writes it.
class JsonConfig {
 public:
  explicit JsonConfig(const std::string& path) : path_(path) {
    if (path.empty()) return;
    json_ = formats::read_json(path);
    base::require(json_.is_object(), "{}: not a JSON object", path);
    check_architecture();
  }

  bool has(const char* key) const {
    return json_.is_object() && json_.contains(key) && !json_[key].is_null();
  }

  template <class Value>
  bool read(const char* key, Value& value) const {
    return has(key) && read_from(json_, key, value);
  }

  /// RoPE's base and scaling; whether the base is there. Transformers 5 has both in
  /// "rope_parameters". Earlier versions have "rope_theta" and "rope_scaling": {"rope_type":
  /// "llama3", "factor": 8, ...}, the oldest with "type".
  bool read_rope(DecoderLMConfig& c) const {
    refuse_partial_rotation(json_);
    bool has_base = read("rope_theta", c.rope_theta);
    for (const char* key : {"rope_parameters", "rope_scaling"}) {
      if (!has(key)) continue;
      const auto& rope = json_[key];
      base::require(rope.is_object(), "{}: {} is not an object", path_, key);
      for (const auto& part : rope.items())
        base::require(!part.value().is_object(),
                      "{}: {} differs between layers ({}): uvic has one RoPE for all of them",
                      path_,
                      key,
                      base::printable_text(part.key()));
      refuse_partial_rotation(rope);
      has_base = read_from(rope, "rope_theta", c.rope_theta) || has_base;
      read_scaling(rope, key, c);
    }
    return has_base;
  }

  /// Throws where the file has another size than the weights.
  void require_size(const char* key, int64_t in_weights, const std::string& source) const {
    int64_t size = in_weights;
    read(key, size);
    base::require(size == in_weights,
                  "{}: {} is {}, the weights in {} have {}; is a part of them missing?",
                  path_,
                  key,
                  size,
                  source,
                  in_weights);
  }

  /// Throws where the head in the weights is not the one that the file describes.
  void check_head(const NamedTensors& tensors, const std::string& source) const {
    bool tied = false;
    if (!read("tie_word_embeddings", tied)) return;
    const auto head = tensors.find("lm_head.weight");
    const auto& embedding = tensors.at("model.embed_tokens.weight");
    base::require(tied || head != tensors.end(),
                  "{}: tie_word_embeddings is false, but {} has no lm_head.weight; is a part of "
                  "the weights missing?",
                  path_,
                  source);
    base::require(
        !tied || head == tensors.end() ||
            (head->second.scalar_type() == embedding.scalar_type() &&
             torch::equal(head->second, embedding)),
        "{}: tie_word_embeddings is true, but lm_head.weight in {} is not the embedding; remove "
        "that tensor, or make it false",
        path_,
        source);
  }

 private:
  template <class Value>
  bool read_from(const json& object, const char* key, Value& value) const {
    if (!object.contains(key) || object[key].is_null()) return false;
    try {
      value = object[key].get<Value>();
    } catch (const json::exception&) {
      throw std::invalid_argument(fmt::format("{}: {} is of the wrong type", path_, key));
    }
    return true;
  }

  void read_scaling(const json& rope, const char* name, DecoderLMConfig& c) const {
    std::string type = "default";
    for (const char* key : {"type", "rope_type"}) read_from(rope, key, type);
    if (type == "default") return;
    base::require(type == "linear" || type == "llama3",
                  "{}: {} {}: known are linear and llama3",
                  path_,
                  name,
                  base::printable_text(type));
    const auto need = [&](const char* key, auto& value) {
      base::require(read_from(rope, key, value), "{}: {} {} without {}", path_, name, type, key);
    };
    c.rope_scaling = type;
    need("factor", c.rope_factor);
    if (type == "linear") return;
    need("low_freq_factor", c.rope_low_freq_factor);
    need("high_freq_factor", c.rope_high_freq_factor);
    need("original_max_position_embeddings", c.rope_original_positions);
  }

  void refuse_partial_rotation(const json& object) const {
    double share = 1;
    if (object.is_object()) read_from(object, "partial_rotary_factor", share);
    base::require(
        share == 1, "{}: partial_rotary_factor {}: uvic rotates whole heads", path_, share);
  }

  /// What would compute something else with the same tensors is refused.
  void check_architecture() const {
    std::string type = "llama", act = "silu";
    read("model_type", type);
    read("hidden_act", act);
    base::require(type == "llama" || type == "mistral" || type == "cogformer",
                  "{}: model_type {}: uvic computes Llama's architecture (llama, mistral)",
                  path_,
                  base::printable_text(type));
    base::require(
        act == "silu", "{}: hidden_act {}: uvic computes silu", path_, base::printable_text(act));
    int64_t window = 0, length = 0;
    read("max_position_embeddings", length);
    base::require(!read("sliding_window", window) || window >= length,
                  "{}: sliding_window {}: uvic attends to all earlier tokens",
                  path_,
                  window);
  }

  std::string path_;
  json json_;
};

/// What the tensors say by themselves; head_dim is that of `c.num_attention_heads`.
void read_shapes(const NamedTensors& tensors, const std::string& source, DecoderLMConfig& c) {
  const auto& embedding = matrix(tensors, "model.embed_tokens.weight", source);
  c.vocab_size = embedding.size(0);
  c.hidden_size = embedding.size(1);
  c.num_hidden_layers = 0;
  while (tensors.count(fmt::format("model.layers.{}.input_layernorm.weight", c.num_hidden_layers)))
    ++c.num_hidden_layers;
  c.intermediate_size = matrix(tensors, "model.layers.0.mlp.gate_proj.weight", source).size(0);
  c.tie_word_embeddings = !tensors.count("lm_head.weight");
  c.attention_bias = !in_any_layer(tensors, c.num_hidden_layers, "self_attn.v_proj.bias").empty();
  c.mlp_bias = !in_any_layer(tensors, c.num_hidden_layers, "mlp.gate_proj.bias").empty();
  if (const auto found = tensors.find("model.embed_positions.weight"); found != tensors.end()) {
    c.positions = "learned";
    c.max_position_embeddings = found->second.size(0);
  }
}

/// The basis `name` of a layer, [key-value heads, rank, width of a head], or null.
const torch::Tensor* find_basis(const NamedTensors& tensors,
                                int64_t layer,
                                const std::string& name,
                                const std::string& source) {
  const auto found = tensors.find(fmt::format("model.layers.{}.self_attn.{}", layer, name));
  if (found == tensors.end()) return nullptr;
  base::require(found->second.dim() == 3 && found->second.numel() > 0,
                "{}: {} is {}, wanted heads x rank x width",
                source,
                found->first,
                base::shape_text(found->second));
  return &found->second;
}

/// "8,8,0": the ranks of all layers; empty where no layer has the basis.
std::string visible_ranks(const NamedTensors& tensors,
                          int64_t layers,
                          const std::string& name,
                          const std::string& source) {
  std::string list;
  bool any = false;
  for (int64_t i = 0; i < layers; ++i) {
    const auto* basis = find_basis(tensors, i, name, source);
    any = any || basis;
    list += fmt::format("{}{}", i == 0 ? "" : ",", basis ? basis->size(1) : 0);
  }
  return any ? list : "";
}

void read_heads(const NamedTensors& tensors, const std::string& source, DecoderLMConfig& c) {
  const auto queries = matrix(tensors, "model.layers.0.self_attn.o_proj.weight", source).size(1);
  const auto keys = matrix(tensors, "model.layers.0.self_attn.v_proj.weight", source).size(0);
  base::require(queries % c.num_attention_heads == 0,
                "{}: {} heads do not divide the {} columns of o_proj; give another --num_heads",
                source,
                c.num_attention_heads,
                queries);
  c.head_dim = queries / c.num_attention_heads;
  const auto* basis = find_basis(tensors, 0, "v_basis", source);
  base::require(basis ? basis->size(2) == c.head_dim && keys == basis->size(0) * basis->size(1)
                      : keys % c.head_dim == 0,
                "{}: heads of width {} do not divide the {} rows of v_proj; give another "
                "--num_heads",
                source,
                c.head_dim,
                keys);
  c.num_key_value_heads = keys / c.head_dim;
  if (basis) c.num_key_value_heads = basis->size(0);
  if (c.head_dim * c.num_attention_heads == c.hidden_size) c.head_dim = 0;
  if (c.num_key_value_heads == c.num_attention_heads) c.num_key_value_heads = 0;
}

/// Throws where config.json describes another network than the shapes do.
void check_sizes(const JsonConfig& file,
                 const NamedTensors& tensors,
                 const std::string& source,
                 const DecoderLMConfig& c) {
  file.check_head(tensors, source);
  file.require_size("vocab_size", c.vocab_size, source);
  file.require_size("hidden_size", c.hidden_size, source);
  file.require_size("intermediate_size", c.intermediate_size, source);
  file.require_size("num_hidden_layers", c.num_hidden_layers, source);
  int64_t heads = c.num_attention_heads;
  file.read("num_attention_heads", heads);
  if (heads != c.num_attention_heads) return;  // --num_heads overrides the file
  file.require_size("head_dim", c.head_width(), source);
  file.require_size("num_key_value_heads", c.key_value_heads(), source);
}

/// The attention that tensors of its own give away, or softmax.
std::string visible_attention(const NamedTensors& tensors, int64_t layers) {
  const std::pair<const char*, const char*> marks[] = {{"self_attn.gate_proj.weight", "gated"},
                                                       {"self_attn.lambda_q1", "differential"},
                                                       {"self_attn.alpha", "factored"}};
  for (const auto& [tensor, kind] : marks)
    if (!in_any_layer(tensors, layers, tensor).empty()) return kind;
  return "softmax";
}

}  // namespace

ConfigGuess guess_decoder_lm(const NamedTensors& tensors,
                             const ShapeHints& hints,
                             const std::string& source) {
  constexpr int64_t kChannelsPerHead = 64;
  ConfigGuess guess;
  guess.config.kind = "decoder_lm";
  auto& c = guess.config.decoder_lm;
  const JsonConfig file(hints.config_json);
  const auto assume = [&](std::string text) { guess.assumed.push_back(std::move(text)); };

  read_shapes(tensors, source, c);
  if (hints.num_heads > 0) {
    c.num_attention_heads = hints.num_heads;
  } else if (!file.read("num_attention_heads", c.num_attention_heads)) {
    const auto queries = matrix(tensors, "model.layers.0.self_attn.o_proj.weight", source).size(1);
    if (queries % kChannelsPerHead != 0)
      throw UnknownNetwork(fmt::format(
          "{}: width {} does not say the number of heads; give --num_heads or --config, or put its "
          "config.json next to it",
          source,
          queries));
    c.num_attention_heads = queries / kChannelsPerHead;
    assume(
        fmt::format("num_heads = {} ({} channels each)", c.num_attention_heads, kChannelsPerHead));
  }
  base::require(c.num_attention_heads > 0, "{}: {} heads", source, c.num_attention_heads);
  read_heads(tensors, source, c);
  check_sizes(file, tensors, source, c);
  if (!file.read("max_position_embeddings", c.max_position_embeddings) && c.positions == "rope")
    assume(fmt::format("max_position_embeddings = {}", c.max_position_embeddings));
  if (!file.read("rms_norm_eps", c.rms_norm_eps)) assume("rms_norm_eps = 1e-6");
  if (!file.read_rope(c) && c.positions == "rope") assume("rope_theta = 10000");
  c.key_ranks = visible_ranks(tensors, c.num_hidden_layers, "k_basis", source);
  c.value_ranks = visible_ranks(tensors, c.num_hidden_layers, "v_basis", source);
  c.attention = visible_attention(tensors, c.num_hidden_layers);
  c.placement = c.attention == "softmax" ? "none" : "inner";
  if (c.attention == "softmax")
    assume(
        "attention = softmax (a Cogformer has the same shapes; uvic convert --attention cog says "
        "so in the file)");
  apply_decoder_lm_hints(hints, /*is_guessed=*/true, guess);
  return guess;
}

void apply_decoder_lm_hints(const ShapeHints& hints, bool is_guessed, ConfigGuess& guess) {
  auto& config = guess.config.decoder_lm;
  const auto answered = [&](const std::string& what) {
    auto& assumed = guess.assumed;
    assumed.erase(std::remove_if(assumed.begin(),
                                 assumed.end(),
                                 [&](const auto& text) { return text.rfind(what, 0) == 0; }),
                  assumed.end());
  };
  if (hints.num_heads > 0 && !is_guessed) config.num_attention_heads = hints.num_heads;
  if (hints.num_heads > 0) answered("num_heads");
  base::require(hints.qk_scale == 0,
                "--qk_scale: a network of sequences has 1/sqrt(head width) always");
  if (!hints.attention.empty()) {
    config.attention = hints.attention;
    if (is_guessed) config.placement = hints.attention == "softmax" ? "none" : "inner";
    answered("attention");
  }
  if (!hints.placement.empty()) config.placement = hints.placement;
  config.validate();
}

}  // namespace uvic::model
