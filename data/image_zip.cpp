#include "data/image_zip.h"

#include <algorithm>

#include "data/formats/zip_archive.h"

namespace uvic::data {
namespace {

// Bytes of an image or of dataset.json: more than an image that the decoder takes can have.
constexpr uint64_t kLargestEntry = uint64_t{1} << 30;

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
    return zip_.read(static_cast<size_t>(file.entry), kLargestEntry);
  }

  uint32_t checksum(const StoredFile& file) const override {
    return zip_.entries()[static_cast<size_t>(file.entry)].crc32;
  }
  bool knows_checksums() const override { return true; }

 private:
  formats::ZipReader zip_;
};

}  // namespace

std::unique_ptr<FileContainer> open_image_zip(const std::filesystem::path& path) {
  return std::make_unique<ImageZip>(path);
}

}  // namespace uvic::data
