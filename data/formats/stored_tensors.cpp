#include "data/formats/stored_tensors.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "data/formats/file_kind.h"
#include "data/formats/json.h"
#include "data/formats/mapped_file.h"
#include "data/formats/safetensors.h"

namespace uvic::formats {
namespace fs = std::filesystem;
namespace {

StoredTensors read_one(const fs::path& path);

/// The shards of an index are safetensors or files of torch.save in its own folder.
void read_shards(StoredTensors& file) {
  const auto index = read_json(file.path);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
    throw std::runtime_error(
        fmt::format("{}: JSON without a weight_map; neither safetensors, the index of its shards, "
                    "nor a file of torch.save",
                    file.path.string()));
  std::map<std::string, StoredTensors> shards;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    const auto name = shard.is_string() ? shard.get<std::string>() : "";
    if (name.empty() || name != fs::path(name).filename() || name == "..")
      throw std::runtime_error(
          fmt::format("{}: {} is not in a file of the same folder", file.path.string(), tensor));
    const auto path = file.path.parent_path() / name;
    auto known = shards.find(name);
    if (known == shards.end()) known = shards.emplace(name, read_one(path)).first;
    const auto found = known->second.tensors.find(tensor);
    if (found == known->second.tensors.end())
      throw std::runtime_error(
          fmt::format("{}: no {}, which the index says is in it", path.string(), tensor));
    file.tensors.emplace(tensor, found->second);
    for (const auto& [key, value] : known->second.metadata) file.metadata.emplace(key, value);
  }
  for (const auto& [name, shard] : shards) file.shards.push_back(file.path.parent_path() / name);
}

StoredTensors read_one(const fs::path& path) {
  StoredTensors file;
  file.path = path;
  const auto mapped = MappedFile::open(path);
  switch (file_kind(mapped)) {
    case FileKind::kSafetensors: {
      auto read = read_safetensors(mapped);
      file.tensors = std::move(read.tensors);
      file.metadata = std::move(read.metadata);
      return file;
    }
    case FileKind::kPth:
    case FileKind::kTorchScript: {
      auto read = read_pth_file(mapped);
      file.tensors = std::move(read.tensors);
      file.scalars = std::move(read.scalars);
      file.order = std::move(read.order);
      file.foreign = std::move(read.foreign);
      return file;
    }
    default: {
      const auto kind =
          content_text({reinterpret_cast<const char*>(mapped->data()), mapped->size()});
      throw std::runtime_error(fmt::format("{}: neither safetensors nor a file of torch.save{}{}",
                                           path.string(),
                                           kind.empty() ? "" : " but ",
                                           kind));
    }
  }
}

}  // namespace

StoredTensors read_stored_tensors(const fs::path& path) {
  StoredTensors file;
  if (file_kind(MappedFile::open(path)) == FileKind::kJson) {
    file.path = path;
    read_shards(file);
  } else {
    file = read_one(path);
  }
  if (file.tensors.empty())
    throw std::runtime_error(fmt::format("{}: holds no tensor", path.string()));
  return file;
}

fs::path only_file(const fs::path& folder, const std::string& ending) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const auto name = entry.path().filename().string();
    if (name.size() > ending.size() &&
        name.compare(name.size() - ending.size(), ending.size(), ending) == 0)
      found.push_back(entry.path());
  }
  if (found.size() > 1)
    throw std::runtime_error(fmt::format(
        "{}: holds {} files *{}; name one of them", folder.string(), found.size(), ending));
  return found.empty() ? fs::path() : found.front();
}

fs::path find_stored_tensors(const fs::path& source) {
  std::error_code ignored;
  if (!fs::exists(source, ignored))
    throw std::runtime_error(source.string() + ": no such file or folder");
  if (!fs::is_directory(source, ignored)) return source;
  for (const auto* ending : {".safetensors.index.json",
                             ".safetensors",
                             ".bin.index.json",
                             ".bin",
                             ".pth",
                             ".pt",
                             ".ckpt"})
    if (const auto file = only_file(source, ending); !file.empty()) return file;
  throw std::runtime_error(fmt::format(
      "{}: a folder without weights; looked for one *.safetensors, *.bin, *.pth, *.pt or *.ckpt",
      source.string()));
}

}  // namespace uvic::formats
