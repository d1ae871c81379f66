// Small language models for the tests of the attention analysis.
#pragma once

#include <string>

#include "tests/app/lab/tiny_networks.h"

namespace uvic::test {

/// 3 layers of 2 heads, for sequences of 16 tokens of the task iarc with 5 symbols; Cog (or another
/// kind) in the layer between.
inline app::RunConfig tiny_language_model(const std::string& attention) {
  app::RunConfig config;
  config.data = "iarc", config.out = "nowhere";
  config.tokens.length = 16, config.tokens.symbols = 5;
  config.model.kind = "decoder_lm";
  auto& lm = config.model.decoder_lm;
  lm.vocab_size = 9, lm.hidden_size = 16, lm.intermediate_size = 24;
  lm.num_hidden_layers = 3, lm.num_attention_heads = 2, lm.max_position_embeddings = 16;
  lm.attention = attention, lm.placement = "inner", lm.init = "scaled";
  return config;
}

}  // namespace uvic::test
