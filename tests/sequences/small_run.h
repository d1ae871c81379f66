#pragma once

#include <filesystem>
#include <string>

#include "app/runs/run_config.h"

namespace uvic::test {

/// A network that trains in a second.
inline app::RunConfig small_run(const std::filesystem::path& out,
                                const std::string& attention = "cog") {
  app::RunConfig config;
  config.data = "nt";
  config.out = out.string();
  config.total_images = 640;
  config.batch_size = 16;
  config.ema_decay = 0.9;
  config.grid_images = 0;
  config.log_images = 160;
  config.checkpoint_images = 320;
  config.score_images = 320;
  config.score_count = 20;
  config.threads = 2;
  config.model.kind = "decoder_lm";
  auto& m = config.model.decoder_lm;
  m.vocab_size = 3;
  m.hidden_size = 16;
  m.intermediate_size = 24;
  m.num_hidden_layers = 3;
  m.num_attention_heads = 2;
  m.max_position_embeddings = 24;
  m.attention = attention;
  m.init = "scaled";
  config.tokens.symbols = 3;
  config.tokens.length = 20;
  config.optimizer.lr = 1e-2;
  config.optimizer.warmup_images = 32;
  return config;
}

}  // namespace uvic::test
