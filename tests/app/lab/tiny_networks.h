// Small networks as weight files and as networks, for the tests of the attention analysis.
#pragma once

#include <filesystem>
#include <string>

#include "app/lab/lab_examples.h"
#include "app/options/options.h"
#include "app/runs/run_config.h"
#include "data/formats/safetensors.h"
#include "model/network.h"
#include "model/weights.h"

namespace uvic::test {

/// 16 x 16 px images of procedural classes, 4 x 4 patches, 3 blocks of 2 heads.
inline app::RunConfig tiny_run(const std::string& attention) {
  app::RunConfig config;
  config.data = "procedural", config.out = "nowhere", config.flip = false;
  config.label_dropout = 0.1;
  config.dataset.procedural_images = 64;
  auto& uvit = config.model.uvit;
  uvit.img_size = 16, uvit.patch_size = 4, uvit.embed_dim = 32, uvit.depth = 2;
  uvit.num_heads = 2, uvit.num_classes = 11;
  uvit.attention = attention, uvit.placement = "inner", uvit.init = "scaled";
  return config;
}

/// The same conditioned on captions of 12 words.
inline app::RunConfig tiny_text_run(const std::string& attention) {
  auto config = tiny_run(attention);
  config.data = "procedural-text";
  config.encoders.text_encoder = "words";
  auto& uvit = config.model.uvit;
  uvit.num_classes = -1, uvit.clip_dim = 8, uvit.num_clip_token = 12;
  return config;
}

inline model::NetworkPtr tiny_network(const app::RunConfig& config) {
  torch::manual_seed(11);
  auto network = model::make_network(config.model);
  network->eval();
  return network;
}

/// A weight file that says its config.
inline std::string write_weights(const std::filesystem::path& file, const app::RunConfig& config) {
  formats::TensorFile content;
  content.tensors = model::named_weights(*tiny_network(config));
  content.metadata = {{"uvic.config", app::to_toml(config)}, {"uvic.images_seen", "64"}};
  formats::write_safetensors(file, content);
  return file.string();
}

}  // namespace uvic::test
