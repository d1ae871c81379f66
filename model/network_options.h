// Which options of NetworkConfig belong to which kind of network, and which of them training data
// may decide.
#pragma once

#include <cstdint>
#include <string>

#include "model/network_config.h"

namespace uvic::model {

/// The section of NetworkConfig that the kind reads, "decoder_lm" say; empty: the options outside
/// sections. Throws std::invalid_argument for an unknown kind.
std::string network_section(const std::string& kind);

/// The attention kind of the blocks that model.placement chooses; empty: the network has none of
/// the table of attention kinds.
std::string attention_name(const NetworkConfig& config);

/// Whether a network of config.kind works on images or latents; else on sequences of tokens. A
/// wrong value of another option, such as a vocabulary of 0 tokens, makes no difference.
bool works_on_images(const NetworkConfig& config);

/// What a network on images takes; 0: left to the training data.
struct ImageInput {
  int64_t size = 0;      ///< px, or cells of a latent
  int64_t channels = 0;  ///< of the image or latent
  int64_t classes = 0;   ///< with the null class; -1: none
};

/// That part of the config, also where the kind is another: a config is filled part by part.
ImageInput image_input(const NetworkConfig& config);
void set_image_input(const ImageInput& input, NetworkConfig& config);

/// Blocks that patches may bypass in training, those of a network on images.
int64_t image_blocks(const NetworkConfig& config);

/// Blocks at either end of a network on images outside of the path that it fuses (SPRINT); 0: none.
int64_t image_fusion(const NetworkConfig& config);

}  // namespace uvic::model
