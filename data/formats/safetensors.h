// safetensors: a JSON header, then raw little-endian tensors.
// https://github.com/huggingface/safetensors
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/torch.h"
#include "data/formats/mapped_file.h"

namespace uvic::formats {

struct TensorFile {
  std::map<std::string, torch::Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

enum class Checksum {
  kVerified,   ///< all bytes are read once, at the speed of memory or disk
  kUnchecked,  ///< for those who look at the header alone
};

/// Reads by memory map: tensors are copy-on-write views that keep the map alive; apart from the
/// checksum nothing is read before it is touched. Throws std::runtime_error naming file and fault:
/// header beyond the file, overlapping or out-of-range offsets, bytes that belong to no tensor,
/// unknown dtype, a checksum of write_safetensors() that does not match. Files without one (of
/// other programs, of older versions) are read as they are. The checksum is no part of `metadata`.
TensorFile read_safetensors(const std::filesystem::path& path,
                            Checksum checksum = Checksum::kVerified);

TensorFile read_safetensors(const std::shared_ptr<const MappedFile>& file,
                            Checksum checksum = Checksum::kVerified);

/// Writes whole or not at all; tensors are made contiguous on the CPU one at a time. Adds
/// "uvic.checksum" to the metadata: "xxh64:" and the Xxh64 of the rest of the metadata, of the
/// tensors' names, dtypes and shapes, and of all their bytes.
/// Throws std::runtime_error if the file can't be written, std::invalid_argument for a dtype that
/// the format lacks.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

/// A tensor that exists only while it is written.
struct MadeTensor {
  torch::ScalarType dtype;
  std::vector<int64_t> shape;
  std::function<torch::Tensor()> make;  ///< of that dtype and shape
};

/// The same of tensors that are made one after the other: those of the widest elements first, then
/// by name. What make() throws leaves no file.
void write_safetensors(const std::filesystem::path& path,
                       const std::map<std::string, MadeTensor>& tensors,
                       std::map<std::string, std::string> metadata);

}  // namespace uvic::formats
