// One reader for every form in which weights are published: safetensors, files of torch.save, and
// either in shards.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/torch.h"
#include "data/formats/torch_pickle.h"

namespace uvic::formats {

/// All that a file of weights holds, under its own names.
struct StoredTensors {
  std::filesystem::path path;  ///< the file, or the index of its shards
  std::map<std::string, torch::Tensor> tensors;
  std::map<std::string, std::string> metadata;  ///< of safetensors
  std::map<std::string, PthScalar> scalars;     ///< of torch.save: numbers and texts by path
  std::vector<std::string> order;               ///< of torch.save: names as they come in the file
  std::set<std::string> foreign;                ///< of torch.save: classes that were passed over
  std::vector<std::filesystem::path> shards;    ///< in the order of their names, or empty
};

/// Reads a file by its content: safetensors, torch.save (.pth, .pt, .bin, .ckpt), or the JSON index
/// of shards {"weight_map": {TENSOR: FILE}} as Hugging Face's libraries write it, whose shards are
/// files of the same folder. Tensors are mapped, not read.
/// Throws std::runtime_error that names the file and the fault; a file without tensors is one.
StoredTensors read_stored_tensors(const std::filesystem::path& path);

/// The file that a file or folder stands for: the file itself; in a folder its only
/// *.safetensors.index.json, else *.safetensors, *.bin.index.json, *.bin, *.pth, *.pt or *.ckpt.
/// Throws std::runtime_error for a folder that holds none, or several of the first ending found.
std::filesystem::path find_stored_tensors(const std::filesystem::path& file_or_folder);

/// A folder's only file of that ending, or an empty path. Throws std::runtime_error for several.
std::filesystem::path only_file(const std::filesystem::path& folder, const std::string& ending);

}  // namespace uvic::formats
