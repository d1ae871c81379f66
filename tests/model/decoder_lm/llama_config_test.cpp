// config.json of Llama-like networks: what is read, and what describes another network than the
// tensors.
#include <nlohmann/json.hpp>

#include "base/torch.h"
#include "data/formats/json.h"
#include "model/decoder_lm/decoder_lm_guess.h"
#include "tests/support/catch.h"
#include "tests/support/scratch.h"

using namespace uvic::model;
using Catch::Matchers::Contains;
using nlohmann::json;
using uvic::test::Scratch;

namespace {

/// Two layers of four heads of width 8, two of them of keys and values; 20 tokens, width 24.
NamedTensors llama_tensors(bool head = true) {
  NamedTensors tensors;
  const auto add = [&](const std::string& name, at::IntArrayRef sizes) {
    tensors[name] = torch::ones(sizes);
  };
  add("model.embed_tokens.weight", {20, 24});
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    add(layer + "input_layernorm.weight", {24});
    add(layer + "post_attention_layernorm.weight", {24});
    add(layer + "self_attn.q_proj.weight", {32, 24});
    add(layer + "self_attn.k_proj.weight", {16, 24});
    add(layer + "self_attn.v_proj.weight", {16, 24});
    add(layer + "self_attn.o_proj.weight", {24, 32});
    add(layer + "mlp.gate_proj.weight", {40, 24});
    add(layer + "mlp.up_proj.weight", {40, 24});
    add(layer + "mlp.down_proj.weight", {24, 40});
  }
  add("model.norm.weight", {24});
  if (head) add("lm_head.weight", {20, 24});
  return tensors;
}

ConfigGuess guess(const json& config, const NamedTensors& tensors, int64_t num_heads = 0) {
  const Scratch scratch;
  uvic::formats::write_json(scratch / "config.json", config);
  ShapeHints hints;
  hints.config_json = (scratch / "config.json").string();
  hints.num_heads = num_heads;
  return guess_decoder_lm(tensors, hints, "the-weights");
}

/// A config.json of these tensors with some members replaced.
json config_with(const json& changed) {
  json config = {{"model_type", "llama"},
                 {"vocab_size", 20},
                 {"hidden_size", 24},
                 {"intermediate_size", 40},
                 {"num_hidden_layers", 2},
                 {"num_attention_heads", 4},
                 {"num_key_value_heads", 2},
                 {"head_dim", 8},
                 {"max_position_embeddings", 64},
                 {"rms_norm_eps", 1e-5},
                 {"tie_word_embeddings", false}};
  if (changed.is_object()) config.update(changed);  // {} is null
  return config;
}

const json kLlama3 = {{"rope_type", "llama3"},
                      {"factor", 4.0},
                      {"low_freq_factor", 2.0},
                      {"high_freq_factor", 6.0},
                      {"original_max_position_embeddings", 16}};

}  // namespace

TEST_CASE("config.json: RoPE as Transformers 5 writes it and as earlier versions do",
          "[decoder_lm]") {
  const auto tensors = llama_tensors();
  auto in_one = kLlama3;
  in_one["rope_theta"] = 500000.0;
  for (const auto& config : {config_with({{"rope_theta", 500000}, {"rope_scaling", kLlama3}}),
                             config_with({{"rope_parameters", in_one}})}) {
    INFO(config.dump());
    const auto read = guess(config, tensors);
    const auto& c = read.config.decoder_lm;
    CHECK(c.rope_theta == 500000);
    CHECK(c.rope_scaling == "llama3");
    CHECK(c.rope_factor == 4);
    CHECK(c.rope_low_freq_factor == 2);
    CHECK(c.rope_high_freq_factor == 6);
    CHECK(c.rope_original_positions == 16);
    CHECK(read.assumed.size() == 1);  // the attention
  }
  const auto base = guess(
      config_with({{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 2e4}}}}), tensors);
  CHECK(base.config.decoder_lm.rope_theta == 2e4);
  CHECK(base.config.decoder_lm.rope_scaling == "none");
  const auto none = guess(config_with({}), tensors);
  CHECK(none.config.decoder_lm.rope_theta == 10000);
  CHECK(none.assumed.front() == "rope_theta = 10000");
}

TEST_CASE("config.json: RoPE that uvic does not compute is refused", "[decoder_lm]") {
  const auto tensors = llama_tensors();
  const auto refused = [&](const json& changed, const std::string& words) {
    INFO(changed.dump());
    CHECK_THROWS_WITH(guess(config_with(changed), tensors), Contains(words));
  };
  refused({{"rope_parameters", {{"rope_type", "yarn"}, {"factor", 4.0}}}},
          "rope_parameters yarn: known are linear and llama3");
  refused({{"rope_scaling", {{"type", "linear"}}}}, "rope_scaling linear without factor");
  refused({{"rope_scaling", {{"rope_type", "llama3"}, {"factor", 8.0}}}},
          "rope_scaling llama3 without low_freq_factor");
  refused({{"partial_rotary_factor", 0.5}}, "partial_rotary_factor 0.5");
  refused({{"rope_parameters", {{"rope_theta", 1e4}, {"partial_rotary_factor", 0.25}}}},
          "partial_rotary_factor 0.25");
  refused({{"rope_parameters", {{"full_attention", {{"rope_theta", 1e4}}}}}},
          "differs between layers (full_attention)");
}

TEST_CASE("config.json: other sizes than those of the weights are refused", "[decoder_lm]") {
  const auto tensors = llama_tensors();
  CHECK(guess(config_with({}), tensors).config.decoder_lm.num_key_value_heads == 2);
  for (const auto* key : {"vocab_size",
                          "hidden_size",
                          "intermediate_size",
                          "num_hidden_layers",
                          "head_dim",
                          "num_key_value_heads"}) {
    INFO(key);
    CHECK_THROWS_WITH(guess(config_with({{key, 1}}), tensors),
                      Contains(std::string(key) + " is 1, the weights in the-weights have"));
  }
  // --num_heads overrides the file, and what follows from it.
  CHECK(guess(config_with({}), tensors, 8).config.decoder_lm.head_width() == 4);
}

TEST_CASE("config.json: a head that the weights lack, or that should be the embedding",
          "[decoder_lm]") {
  CHECK_THROWS_WITH(
      guess(config_with({}), llama_tensors(/*head=*/false)),
      Contains("tie_word_embeddings is false, but the-weights has no lm_head.weight"));
  const auto tied = config_with({{"tie_word_embeddings", true}});
  CHECK(guess(tied, llama_tensors(/*head=*/false)).config.decoder_lm.tie_word_embeddings);
  auto tensors = llama_tensors();
  CHECK_FALSE(guess(tied, tensors).config.decoder_lm.tie_word_embeddings);  // equal values
  tensors["lm_head.weight"] = tensors["lm_head.weight"] * 2;
  CHECK_THROWS_WITH(guess(tied, tensors), Contains("lm_head.weight in the-weights is not the"));
}
