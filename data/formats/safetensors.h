// safetensors: a JSON header, then raw little-endian tensors.
// https://github.com/huggingface/safetensors
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "data/formats/mapped_file.h"

namespace uvic::formats {

struct TensorFile {
  std::map<std::string, torch::Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads by memory map: tensors are copy-on-write views that keep the map alive; nothing is read
/// before it is touched. Throws std::runtime_error naming file and fault: header beyond the file,
/// overlapping or out-of-range offsets, bytes that belong to no tensor, unknown dtype.
TensorFile read_safetensors(const std::filesystem::path& path);

TensorFile read_safetensors(const std::shared_ptr<const MappedFile>& file);

/// Writes whole or not at all; tensors are made contiguous on the CPU one at a time.
/// Throws std::runtime_error if the file can't be written, std::invalid_argument for a dtype that
/// the format lacks.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

}  // namespace uvic::formats
