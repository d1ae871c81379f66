#include "data/image_zip.h"

#include <algorithm>

#include "data/formats/file_error.h"
#include "data/formats/file_kind.h"
#include "data/formats/image_file.h"
#include "data/formats/zip_archive.h"

namespace uvic::data {
namespace {

// Bytes of a list of captions or labels.
constexpr uint64_t kLargestEntry = uint64_t{1} << 30;
// Bytes of an image that are unpacked whatever it is; of a JPEG, whose size in px may come late.
constexpr uint64_t kSmallImage = uint64_t{16} << 20, kLargestJpeg = uint64_t{256} << 20;

/// Without "." and empty parts, with '/' between parts.
std::string plain_path(std::string path) {
  std::replace(path.begin(), path.end(), '\\', '/');
  std::string plain;
  for (size_t begin = 0; begin < path.size();) {
    const auto end = std::min(path.find('/', begin), path.size());
    const auto part = path.substr(begin, end - begin);
    if (!part.empty() && part != ".") plain += part + (end < path.size() ? "/" : "");
    begin = end + 1;
  }
  return plain;
}

class ImageZip : public FileContainer {
 public:
  explicit ImageZip(const std::filesystem::path& path) : zip_(path) {}

  std::string kind() const override { return "zip archive"; }
  std::string name() const override { return zip_.name(); }

  void list(const Take& take) const override {
    const auto& entries = zip_.entries();
    for (size_t i = 0; i < entries.size(); ++i)
      take({plain_path(std::string(entries[i].name)),
            entries[i].size_bytes,
            static_cast<int64_t>(i),
            {}});
  }

  std::string read(const StoredFile& file) const override {
    const auto index = static_cast<size_t>(file.entry);
    if (!is_image_path(file.path)) return zip_.read(index, kLargestEntry);
    return zip_.read(index, file.size_bytes > kSmallImage ? image_limit(file) : kSmallImage);
  }

  uint32_t checksum(const StoredFile& file) const override {
    return zip_.entries()[static_cast<size_t>(file.entry)].crc32;
  }
  bool knows_checksums() const override { return true; }

 private:
  /// The most bytes that an image of the kind and size of its beginning may have: what is none is
  /// refused before it is unpacked.
  uint64_t image_limit(const StoredFile& file) const {
    constexpr size_t kBeginning = size_t{1} << 16;
    const auto beginning = zip_.read_beginning(static_cast<size_t>(file.entry), kBeginning);
    if (beginning.rfind("\xff\xd8\xff", 0) == 0) return kLargestJpeg;
    const auto name = zip_.name() + "/" + file.path;
    const auto* row = formats::find_file_kind({beginning, "", file.size_bytes, nullptr});
    if (!row || row->kind != formats::FileKind::kImage)
      throw formats::file_error(
          name,
          "not a PNG, JPEG, WebP or BMP image" + (row ? " but " + std::string(row->help) : ""));
    const auto size = formats::image_size(
        reinterpret_cast<const uint8_t*>(beginning.data()), beginning.size(), name);
    // 16 bits in four channels, twice for what does not pack, and metadata.
    return kSmallImage +
           uint64_t{16} * static_cast<uint64_t>(size.width) * static_cast<uint64_t>(size.height);
  }

  formats::ZipReader zip_;
};

}  // namespace

std::unique_ptr<FileContainer> open_image_zip(const std::filesystem::path& path) {
  return std::make_unique<ImageZip>(path);
}

}  // namespace uvic::data
