// The shape of a KL autoencoder, and how its published files name their tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/network_config.h"

namespace uvic::model {

/// The shape of Stable Diffusion's KL autoencoder and its relatives. The defaults are those of the
/// published autoencoder_kl.pth.
struct AutoencoderKlConfig {
  int64_t in_channels = 3, out_channels = 3;
  int64_t base_channels = 128;                      ///< of the first convolution
  std::vector<int64_t> multipliers = {1, 2, 4, 4};  ///< channels of a level over base_channels
  int64_t blocks = 2;           ///< residual blocks of a level; one more in the decoder
  int64_t latent_channels = 4;  ///< of z
  int64_t inner_channels = 4;   ///< between quant_conv and the encoder; latent_channels without it
  bool quant_conv = true;       ///< 1x1 after the encoder; SD3's and Flux's files have none
  bool post_quant_conv = true;  ///< 1x1 before the decoder
  bool mid_attention = true;
  std::vector<int64_t> attention_levels;  ///< levels with attention after each block
  int64_t norm_groups = 32;               ///< no shape shows it: from config.json or metadata
  std::optional<double> scaling_factor;   ///< diffusion sees (z - shift_factor) * scaling_factor
  double shift_factor = 0;

  int64_t levels() const { return static_cast<int64_t>(multipliers.size()); }
  int64_t channels(int64_t level) const {
    return base_channels * multipliers[static_cast<size_t>(level)];
  }
  /// Image side over latent side: every level but the last halves it.
  int64_t downsampling() const { return int64_t{1} << (levels() - 1); }
  bool has_attention(int64_t level) const;

  /// "3 channels, 128 x (1, 2, 4, 4), 2 blocks a level, 4 latent channels, 1/8 of the side"
  std::string text() const;
  /// Throws std::invalid_argument for numbers that make no network.
  void validate() const;
};

/// The tensors of one autoencoder of a file, under the official names (encoder.down.0.block.0...).
struct AutoencoderTensors {
  NamedTensors tensors;
  std::string prefix;    ///< before the names in the file: "first_stage_model."
  std::string layout;    ///< "official", "diffusers", or "diffusers, before 0.18"
  int64_t left_out = 0;  ///< tensors of the file that are no part of it
  bool has_encoder = false, has_decoder = false;
};

/// Whether some of the tensors are those of a KL autoencoder, under any of its published names.
bool holds_autoencoder(const NamedTensors& tensors);

/// Finds the autoencoder among the tensors and renames it.
///
/// Names may follow any prefix, as in whole Stable Diffusion checkpoints; diffusers' names are
/// those of both generations (to_q and query). Weights of attention may be [C, C] or [C, C, 1, 1].
/// Throws std::runtime_error that begins with `source` where there is none, where there are
/// several, and for relatives of another kind (vector quantisation, 3-D convolutions).
AutoencoderTensors find_autoencoder(const NamedTensors& tensors, const std::string& source);

/// The shape that official names and sizes show. Throws std::runtime_error that begins with
/// `source` and names the tensor that is missing or does not fit.
AutoencoderKlConfig autoencoder_config(const AutoencoderTensors& file, const std::string& source);

/// Takes over what no shape shows from the text of diffusers' config.json, or of the metadata
/// "uvic.autoencoder" in the same words: scaling_factor, shift_factor, norm_num_groups. Throws
/// std::runtime_error that begins with `source` where it contradicts the shapes.
void apply_autoencoder_json(const std::string& text,
                            const std::string& source,
                            AutoencoderKlConfig& config);

/// The same facts, for the metadata of a file.
std::string autoencoder_json(const AutoencoderKlConfig& config);

}  // namespace uvic::model
