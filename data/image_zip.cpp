#include "data/image_zip.h"

#include <algorithm>
#include <mutex>

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

  std::vector<StoredFile> list() const override {
    std::vector<StoredFile> files;
    const auto& entries = zip_.entries();
    for (size_t i = 0; i < entries.size(); ++i)
      files.push_back(
          {plain_path(entries[i].name), entries[i].size_bytes, static_cast<int64_t>(i), {}});
    return files;
  }

  std::string read(const StoredFile& file) const override {
    const auto index = static_cast<size_t>(file.entry);
    if (zip_.entries()[index].is_stored) return zip_.read(index, kLargestEntry);
    const auto reader = borrow();
    auto bytes = reader->read(index, kLargestEntry);
    give_back(reader);  // after an exception the reader is simply dropped
    return bytes;
  }

  uint32_t checksum(const StoredFile& file) const override {
    return zip_.entries()[static_cast<size_t>(file.entry)].crc32;
  }
  bool knows_checksums() const override { return true; }

 private:
  using Reader = std::shared_ptr<formats::ZipReader>;

  /// A reader inflates for one thread at a time: as many are kept over the one map as threads ever
  /// met.
  Reader borrow() const {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        auto reader = std::move(idle_.back());
        idle_.pop_back();
        return reader;
      }
    }
    return std::make_shared<formats::ZipReader>(zip_.file());
  }
  void give_back(Reader reader) const {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(reader));
  }

  formats::ZipReader zip_;
  mutable std::mutex mutex_;
  mutable std::vector<Reader> idle_;
};

}  // namespace

std::unique_ptr<FileContainer> open_image_zip(const std::filesystem::path& path) {
  return std::make_unique<ImageZip>(path);
}

}  // namespace uvic::data
