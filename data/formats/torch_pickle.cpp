#include "data/formats/torch_pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "data/formats/file_error.h"
#include "data/formats/file_kind.h"
#include "data/formats/little_endian.h"
#include "data/formats/pickle.h"
#include "data/formats/torch_pickle_values.h"
#include "data/formats/zip_archive.h"

namespace uvic::formats {
namespace {

using Kind = PickleValue::Kind;

// A byte storage over part of a file, aligned for every dtype; the view stays writable and never
// reaches the file.
c10::Storage storage_over(const std::shared_ptr<const MappedFile>& file,
                          size_t at,
                          size_t size_bytes) {
  constexpr uintptr_t kWidest = 16;  // complex128
  const auto size = static_cast<int64_t>(size_bytes);
  auto bytes = tensor_over(file, at, {size}, torch::kUInt8);
  if (reinterpret_cast<uintptr_t>(bytes.data_ptr()) % kWidest != 0) bytes = bytes.clone();
  return bytes.storage();
}

// The zip form: PREFIX/data.pkl, PREFIX/data/KEY, PREFIX/byteorder.
class ZipStorages : public StorageSource {
 public:
  ZipStorages(const ZipReader& archive, std::string prefix)
      : archive_(archive), prefix_(std::move(prefix)), has_checksums_(states_checksums(archive)) {}

  /// The bytes of an entry other than a storage.
  std::string read(size_t index, uint64_t limit_bytes) const {
    const auto size = archive_.entries()[index].size_bytes;
    const auto at = has_checksums_ || size > limit_bytes ? std::nullopt : archive_.stored_at(index);
    if (!at) return archive_.read(index, limit_bytes);
    return {reinterpret_cast<const char*>(archive_.file()->data()) + *at, size};
  }

  c10::Storage load(const StorageId& id) const override {
    const std::string name = prefix_ + "data/" + std::string(id.key);
    const auto index = archive_.find(name);
    if (!index) throw fault(name, "missing");
    const uint64_t wanted = static_cast<uint64_t>(id.numel) * c10::elementSize(id.dtype);
    const auto& entry = archive_.entries()[*index];
    if (entry.size_bytes < wanted) {
      throw fault(name, fmt::format("{} bytes, its tensors need {}", entry.size_bytes, wanted));
    }
    if (const auto at = has_checksums_ ? archive_.verified_at(*index) : archive_.stored_at(*index))
      return storage_over(archive_.file(), *at, wanted);
    const auto content = MappedFile::from_bytes(archive_.read(*index, uint64_t{1} << 40), name);
    return storage_over(content, 0, wanted);
  }

 private:
  /// PyTorch writes no checksums where set_crc32_options(False) was called: all of them are 0.
  static bool states_checksums(const ZipReader& archive) {
    const auto& entries = archive.entries();
    return std::any_of(
        entries.begin(), entries.end(), [](const ZipEntry& entry) { return entry.crc32 != 0; });
  }

  std::runtime_error fault(const std::string& entry, const std::string& text) const {
    return file_error(archive_.name(), entry + ": " + text);
  }

  const ZipReader& archive_;
  std::string prefix_;
  bool has_checksums_;
};

PthFile read_zip_form(const std::shared_ptr<const MappedFile>& file) {
  const ZipReader archive(file);
  std::optional<size_t> pickle_at;
  std::string prefix;
  for (size_t i = 0; i < archive.entries().size(); ++i) {
    constexpr std::string_view kPickle = "data.pkl";
    const std::string_view entry = archive.entries()[i].name;
    const size_t slash = entry.find('/');
    const size_t begin = slash == std::string_view::npos ? 0 : slash + 1;
    if (entry.substr(begin) != kPickle) continue;
    pickle_at = i;
    prefix = entry.substr(0, begin);
    break;
  }
  if (!pickle_at) {
    throw std::runtime_error(
        fmt::format("{}: a zip archive, but not one of torch.save (no data.pkl)", file->name()));
  }
  if (archive.find(prefix + "constants.pkl")) {
    throw std::runtime_error(
        fmt::format("{}: a TorchScript module, not a state_dict; in Python: "
                    "torch.save(torch.jit.load(path).state_dict(), new_path)",
                    file->name()));
  }
  const ZipStorages storages(archive, prefix);
  if (const auto order = archive.find(prefix + "byteorder");
      order && storages.read(*order, 64) != "little") {
    throw std::runtime_error(
        fmt::format("{}: written on a big-endian machine, which is not supported", file->name()));
  }
  // Names, sizes and numbers: the elements are elsewhere.
  const std::string pickle = storages.read(*pickle_at, uint64_t{1} << 28);
  PickleReader reader(pickle, file->name(), is_harmless_global);
  const auto* root = reader.read();
  return flatten_pickle(root, file->name(), pickle.size(), storages);
}

// The legacy stream: pickles of a magic number, a version, the system, the value and the storages'
// keys; then for each key the number of elements (int64) and the elements.
class LegacyStorages : public StorageSource {
 public:
  LegacyStorages(const std::shared_ptr<const MappedFile>& file,
                 const PickleReader& reader,
                 const PickleValue* keys)
      : file_(file) {
    std::unordered_map<std::string_view, StorageId> ids;
    for (const auto* persistent : reader.persistent()) {
      const auto id = storage_id(file->name(), persistent);
      ids.emplace(id.key, id);
    }
    if (keys->kind != Kind::kList) throw fault("damaged: no list of storages");
    uint64_t at = reader.position();
    for (const auto* key : keys->items) {
      const auto id = ids.find(key->text);
      if (id == ids.end())
        throw fault(fmt::format("damaged: no tensor uses storage {}", key->text));
      if (file->size() - at < 8) throw truncated(key->text);
      const auto numel = load_little_endian<int64_t>(file->data() + at);
      at += 8;
      const size_t element_bytes = c10::elementSize(id->second.dtype);
      if (numel < 0 || static_cast<uint64_t>(numel) > (file->size() - at) / element_bytes) {
        throw truncated(key->text);
      }
      const uint64_t size = static_cast<uint64_t>(numel) * element_bytes;
      if (!places_.emplace(key->text, Place{at, size}).second) {
        throw fault(fmt::format("damaged: storage {} occurs twice", key->text));
      }
      at += size;
    }
  }

  c10::Storage load(const StorageId& id) const override {
    const auto place = places_.find(id.key);
    if (place == places_.end()) throw fault(fmt::format("damaged: storage {} is missing", id.key));
    uint64_t at = place->second.at;
    const uint64_t element_bytes = c10::elementSize(id.dtype);
    const uint64_t wanted = static_cast<uint64_t>(id.numel) * element_bytes;
    if (wanted > place->second.size_bytes) {
      throw fault(fmt::format("damaged: storage {} has {} bytes, its tensors need {}",
                              id.key,
                              place->second.size_bytes,
                              wanted));
    }
    return storage_over(file_, at, wanted);
  }

 private:
  struct Place {
    uint64_t at, size_bytes;
  };
  std::runtime_error fault(const std::string& text) const {
    return file_error(file_->name(), text);
  }
  std::runtime_error truncated(std::string_view key) const {
    return fault(
        fmt::format("truncated: storage {} ends beyond the file's {} bytes", key, file_->size()));
  }

  std::shared_ptr<const MappedFile> file_;
  std::unordered_map<std::string_view, Place> places_;
};

constexpr std::string_view kLegacyMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);

PthFile read_legacy_form(const std::shared_ptr<const MappedFile>& file) {
  PickleReader reader({reinterpret_cast<const char*>(file->data()), file->size()},
                      file->name(),
                      is_harmless_global);
  const auto refuse = [&](const char* text) { return file_error(file->name(), text); };
  const auto* magic = reader.read();
  if (magic->kind != Kind::kLong || magic->text != kLegacyMagic) {
    throw refuse("a pickle, but not one of torch.save");
  }
  if (const auto* version = reader.read();
      version->kind != Kind::kInt || version->integer != 1001) {
    throw refuse("a version of the legacy form other than 1001");
  }
  const auto* system = reader.read();
  for (size_t i = 0; i + 1 < system->items.size(); i += 2) {
    if (system->items[i]->text == "little_endian" && system->items[i + 1]->integer == 0) {
      throw refuse("written on a big-endian machine, which is not supported");
    }
  }
  const size_t begin = reader.position();
  const auto* root = reader.read();
  const size_t pickle_bytes = reader.position() - begin;
  const auto* keys = reader.read();
  const LegacyStorages storages(file, reader, keys);
  return flatten_pickle(root, file->name(), pickle_bytes, storages);
}

/// Whether a tar archive begins with one of the members that PyTorch 0.1 wrote.
bool is_tar_form(std::string_view bytes) {
  if (bytes.size() <= 262 || bytes.substr(257, 5) != "ustar") return false;
  const auto first = bytes.substr(0, std::min<size_t>(bytes.find('\0'), 100));
  for (const std::string_view member : {"sys_info", "pickle", "storages", "tensors"})
    if (first == member || first == std::string("./") + std::string(member)) return true;
  return false;
}

}  // namespace

std::map<std::string, torch::Tensor> read_pth(const std::filesystem::path& path) {
  return read_pth_file(path).tensors;
}

PthFile read_pth_file(const std::filesystem::path& path) {
  return read_pth_file(MappedFile::open(path));
}

PthFile read_pth_file(const std::shared_ptr<const MappedFile>& file) {
  const std::string_view bytes(reinterpret_cast<const char*>(file->data()), file->size());
  try {
    if (bytes.substr(0, 2) == "PK") return read_zip_form(file);
    if (bytes.substr(0, 1) == "\x80") return read_legacy_form(file);
  } catch (const c10::Error& error) {
    throw std::runtime_error(
        fmt::format("{}: damaged: {}", file->name(), error.what_without_backtrace()));
  }
  if (is_tar_form(bytes)) {
    throw std::runtime_error(
        fmt::format("{}: the tar form of PyTorch 0.1, which is not supported; load and save it in "
                    "a newer PyTorch",
                    file->name()));
  }
  throw std::runtime_error(
      fmt::format("{}: not a file of torch.save{}", file->name(), foreign_text(*file)));
}

}  // namespace uvic::formats
