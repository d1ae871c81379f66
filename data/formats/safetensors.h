// safetensors: a JSON header, then raw little-endian tensors. https://github.com/huggingface/safetensors
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <map>
#include <string>

namespace uvic::formats {

struct TensorFile {
  std::map<std::string, torch::Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads by memory map: tensors are copy-on-write views that keep the map alive; nothing is read before it is touched.
/// Throws std::runtime_error naming file and fault: header beyond the file, overlapping or out-of-range offsets, unknown dtype.
TensorFile read_safetensors(const std::filesystem::path& path);

/// Writes whole or not at all; tensors are made contiguous on the CPU.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

}  // namespace uvic::formats
