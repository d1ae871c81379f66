#include "model/latent/autoencoder_file.h"

#include <fmt/format.h>

#include <stdexcept>

#include "base/tensor_text.h"
#include "data/formats/atomic_file.h"
#include "data/formats/json.h"
#include "data/formats/safetensors.h"
#include "data/formats/stored_tensors.h"
#include "model/weights.h"

namespace uvic::model {
namespace fs = std::filesystem;
namespace {

constexpr const char* kMetadata = "uvic.autoencoder";

/// Of a folder of diffusers the whole file, not its half-precision twin next to it; of a folder of
/// a whole model the part in vae/.
fs::path find_autoencoder_file(const fs::path& source) {
  std::error_code ignored;
  if (!fs::is_directory(source, ignored)) return formats::find_stored_tensors(source);
  for (const auto& folder : {source, source / "vae"})
    for (const auto* name : {"diffusion_pytorch_model.safetensors",
                             "diffusion_pytorch_model.safetensors.index.json",
                             "diffusion_pytorch_model.bin"})
      if (fs::exists(folder / name, ignored)) return folder / name;
  return formats::find_stored_tensors(source);
}

/// config.json of diffusers next to the file, where it is an autoencoder's.
void read_config_beside(AutoencoderFile& file) {
  const auto path = fs::absolute(file.path).parent_path() / "config.json";
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return;
  const auto text = formats::read_file(path);
  const auto object = formats::try_parse_json(text);
  const auto name = object && object->is_object() && object->contains("_class_name")
                        ? (*object)["_class_name"]
                        : nlohmann::json();
  if (name != "AutoencoderKL") {
    file.notes.push_back(path.string() + ": not of an AutoencoderKL; skipped");
    return;
  }
  apply_autoencoder_json(text, path.string(), file.config);
}

}  // namespace

AutoencoderFile open_autoencoder_file(const fs::path& source) {
  auto stored = formats::read_stored_tensors(find_autoencoder_file(source));
  AutoencoderFile file;
  file.path = stored.path;
  const auto name = file.path.string();
  static_cast<AutoencoderTensors&>(file) = find_autoencoder(stored.tensors, name);
  file.config = autoencoder_config(file, name);
  file.metadata = std::move(stored.metadata);
  if (!file.prefix.empty())
    file.notes.push_back(
        fmt::format("{}: the autoencoder under \"{}\"", name, base::printable_text(file.prefix)));
  const auto own = file.metadata.find(kMetadata);
  if (own != file.metadata.end())
    apply_autoencoder_json(own->second, fmt::format("{}: {}", name, kMetadata), file.config);
  else
    read_config_beside(file);
  try {
    file.config.validate();
  } catch (const std::invalid_argument& error) {
    throw std::runtime_error(fmt::format("{}: {}", name, error.what()));
  }
  return file;
}

bool is_autoencoder(const fs::path& path) {
  try {
    return holds_autoencoder(formats::read_stored_tensors(find_autoencoder_file(path)).tensors);
  } catch (const std::exception&) {
    return false;  // who opens it says what is wrong
  }
}

void load_autoencoder(AutoencoderNet& net, const AutoencoderFile& file) {
  if (auto faults = weight_faults(*net, file.tensors); !faults.empty())
    throw std::runtime_error(fmt::format("{}: no autoencoder of {}: {}",
                                         file.path.string(),
                                         file.config.text(),
                                         faults_text(std::move(faults))));
  load_weights(*net, file.tensors, file.path.string());
}

void save_autoencoder(const fs::path& path,
                      const AutoencoderNet& net,
                      const AutoencoderKlConfig& config,
                      torch::ScalarType dtype,
                      const std::map<std::string, std::string>& metadata) {
  formats::TensorFile file;
  for (const auto& [name, tensor] : named_weights(*net))
    file.tensors.emplace(name, tensor.to(dtype));
  file.metadata = metadata;
  file.metadata.emplace("uvic.kind", "autoencoder");
  file.metadata.emplace(kMetadata, autoencoder_json(config));
  formats::write_safetensors(path, file);
}

}  // namespace uvic::model
