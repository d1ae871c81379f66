#include "data/formats/file_kind.h"

#include <algorithm>
#include <string_view>

#include "data/formats/little_endian.h"
#include "data/formats/zip_archive.h"

namespace uvic::formats {
namespace {

constexpr size_t kCifarRecordBytes = 3073;

bool ends_with(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}

FileKind kind_of_zip(const std::shared_ptr<const MappedFile>& file) {
  const ZipReader archive(file);
  const auto& entries = archive.entries();
  const auto holds = [&](std::string_view name) {  // at the top or one folder down
    return std::any_of(entries.begin(), entries.end(), [&](const auto& entry) {
      return entry.name.substr(entry.name.find('/') + 1) == name;
    });
  };
  if (holds("data.pkl")) return holds("constants.pkl") ? FileKind::kTorchScript : FileKind::kPth;
  const bool arrays =
      !entries.empty() && std::all_of(entries.begin(), entries.end(), [](const auto& entry) {
        return ends_with(entry.name, ".npy");
      });
  return arrays ? FileKind::kNpz : FileKind::kPictureZip;
}

FileKind kind_by_name(const std::string& name, size_t size_bytes) {
  const auto extension = std::filesystem::path(name).extension();
  if (extension == ".safetensors") return FileKind::kSafetensors;
  if (extension == ".pth" || extension == ".pt") return FileKind::kPth;
  if (extension == ".npy") return FileKind::kNpy;
  if (extension == ".npz") return FileKind::kNpz;
  if (extension == ".json") return FileKind::kJson;
  if (extension == ".toml") return FileKind::kToml;
  if (extension == ".bin" && size_bytes > 0 && size_bytes % kCifarRecordBytes == 0)
    return FileKind::kCifarBatch;
  return FileKind::kUnknown;
}

}  // namespace

FileKind file_kind(const std::shared_ptr<const MappedFile>& file) {
  const std::string_view bytes(reinterpret_cast<const char*>(file->data()), file->size());
  const auto begins = [&](std::string_view magic) {
    return bytes.substr(0, magic.size()) == magic;
  };
  // First: the length that safetensors begins with may look like any magic number.
  if (bytes.size() > 8 && bytes[8] == '{' &&
      load_little_endian<uint64_t>(bytes.data()) <= bytes.size() - 8)
    return FileKind::kSafetensors;
  if (begins("PK\3\4") || begins("PK\5\6")) return kind_of_zip(file);
  if (begins("\x80\x02")) return FileKind::kPth;
  if (begins("\x93NUMPY")) return FileKind::kNpy;
  if (begins("\x89PNG") || begins("\xff\xd8\xff")) return FileKind::kPicture;
  const auto named = kind_by_name(file->name(), file->size());
  if (named != FileKind::kUnknown) return named;
  if (begins("BM")) return FileKind::kPicture;
  const auto text = bytes.find_first_not_of(" \t\r\n");
  if (text != std::string_view::npos && (bytes[text] == '{' || bytes[text] == '['))
    return FileKind::kJson;
  return FileKind::kUnknown;
}

}  // namespace uvic::formats
