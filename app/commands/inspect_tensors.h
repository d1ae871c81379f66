// What uvic inspect says of files of tensors.
#pragma once

#include <filesystem>
#include <memory>

#include "data/formats/json.h"
#include "data/formats/mapped_file.h"

namespace uvic::app {

/// Adds "network", "parameters" ("elements" where they are no network's), "step" and "images_seen"
/// of the weights at `path`. Weights that are of several networks, or of none, are a "fault" in
/// "network", not an exception.
void describe_network(const std::filesystem::path& path, nlohmann::json& report);

/// Each adds "tensors" (rows of name, dtype, shape, bytes), what the file holds besides, and the
/// network where there is one. Throws std::runtime_error naming a file that can't be read.
void inspect_safetensors(const std::shared_ptr<const formats::MappedFile>& file,
                         nlohmann::json& report);
void inspect_pth(const std::shared_ptr<const formats::MappedFile>& file, nlohmann::json& report);
void inspect_npy(const std::filesystem::path& path, nlohmann::json& report);
void inspect_npz(const std::shared_ptr<const formats::MappedFile>& file, nlohmann::json& report);

}  // namespace uvic::app
