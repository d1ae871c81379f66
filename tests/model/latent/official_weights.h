// An autoencoder with weights by the rule of the golden numbers, under any of its names.
#pragma once

#include <regex>
#include <string>

#include "model/latent/autoencoder_layers.h"
#include "model/weights.h"
#include "tests/model/golden_rule.h"

namespace uvic::test {

/// The smallest network with everything in it: two levels of 32 and 64 channels.
inline model::AutoencoderKlConfig small_autoencoder() {
  model::AutoencoderKlConfig config;
  config.base_channels = 32;
  config.multipliers = {1, 2};
  config.blocks = 1;
  return config;
}

/// Under the official names.
inline model::NamedTensors official_weights(const model::AutoencoderKlConfig& config) {
  model::NamedTensors weights;
  const model::AutoencoderNet net(config);
  for (const auto& item : net->named_parameters())
    weights[item.key()] = golden_weight(item.key(), item.value().sizes().vec());
  return weights;
}

/// The same tensors under diffusers' names, written independently of the code that reads them.
/// `old`: query, key, value, proj_attn, as before version 0.18.
inline model::NamedTensors diffusers_weights(const model::NamedTensors& official,
                                             int64_t levels,
                                             bool old = false) {
  model::NamedTensors result;
  for (const auto& [official_name, official_tensor] : official) {
    auto name = official_name;
    auto tensor = official_tensor;
    for (int64_t i = 0; i < levels; ++i) {
      const auto up = "decoder.up." + std::to_string(i) + ".";
      if (name.rfind(up, 0) == 0)
        name = "decoder.up_blocks." + std::to_string(levels - 1 - i) + "." + name.substr(up.size());
    }
    const auto replace = [&](const char* from, const char* to) {
      name = std::regex_replace(name, std::regex(from), to);
    };
    replace("^encoder\\.down\\.", "encoder.down_blocks.");
    replace("_blocks\\.(\\d+)\\.block\\.", "_blocks.$1.resnets.");
    replace("_blocks\\.(\\d+)\\.attn\\.", "_blocks.$1.attentions.");
    replace("\\.downsample\\.conv\\.", ".downsamplers.0.conv.");
    replace("\\.upsample\\.conv\\.", ".upsamplers.0.conv.");
    replace("\\.mid\\.block_1\\.", ".mid_block.resnets.0.");
    replace("\\.mid\\.block_2\\.", ".mid_block.resnets.1.");
    replace("\\.mid\\.attn_1\\.", ".mid_block.attentions.0.");
    replace("\\.nin_shortcut\\.", ".conv_shortcut.");
    replace("\\.norm_out\\.", ".conv_norm_out.");
    if (name.find("attentions") != std::string::npos) {
      replace("\\.norm\\.", ".group_norm.");
      replace("\\.q\\.", old ? ".query." : ".to_q.");
      replace("\\.k\\.", old ? ".key." : ".to_k.");
      replace("\\.v\\.", old ? ".value." : ".to_v.");
      replace("\\.proj_out\\.", old ? ".proj_attn." : ".to_out.0.");
      if (tensor.dim() == 4) tensor = tensor.flatten(1);
    }
    result[name] = tensor;
  }
  return result;
}

}  // namespace uvic::test
