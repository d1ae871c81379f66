// The files of KL autoencoders: which part of a file or folder is one, and writing one.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/torch.h"
#include "model/latent/autoencoder_config.h"
#include "model/latent/autoencoder_layers.h"

namespace uvic::model {

struct AutoencoderFile : AutoencoderTensors {
  std::filesystem::path path;  ///< the file, or the index of its shards
  AutoencoderKlConfig config;
  std::vector<std::string> notes;  ///< what was chosen or passed over in reading it
  std::map<std::string, std::string> metadata;
};

/// See AutoencoderKl::open(). Tensors are mapped, not read.
AutoencoderFile open_autoencoder_file(const std::filesystem::path& path);

/// Whether the file, index or folder holds an autoencoder. False where it can't be read.
bool is_autoencoder(const std::filesystem::path& path);

/// Copies the tensors into a network of file.config. Throws std::runtime_error that names the file
/// and the tensors that are missing, unknown or of other sizes.
void load_autoencoder(AutoencoderNet& net, const AutoencoderFile& file);

/// Writes safetensors under the official names that open_autoencoder_file() reads back with its
/// config, as float32 or float16, whole or not at all. `metadata` is added to it.
void save_autoencoder(const std::filesystem::path& path,
                      const AutoencoderNet& net,
                      const AutoencoderKlConfig& config,
                      torch::ScalarType dtype,
                      const std::map<std::string, std::string>& metadata);

}  // namespace uvic::model
