#include "data/image_zip.h"

#include <mutex>

#include "data/formats/zip_archive.h"

namespace uvic::data {
namespace {

class ImageZip : public FileContainer {
 public:
  explicit ImageZip(const std::filesystem::path& path) : zip_(path) {}

  std::string kind() const override { return "zip archive"; }
  std::string name() const override { return zip_.name(); }

  std::vector<StoredFile> list() const override {
    std::vector<StoredFile> files;
    const auto& entries = zip_.entries();
    for (size_t i = 0; i < entries.size(); ++i)
      if (!entries[i].name.empty() && entries[i].name.back() != '/')
        files.push_back({entries[i].name, entries[i].size_bytes, static_cast<int64_t>(i)});
    return files;
  }

  std::string read(const StoredFile& file) const override {
    const auto index = static_cast<size_t>(file.entry);
    if (zip_.entries()[index].is_stored) return zip_.read(index);
    const auto reader = borrow();
    auto bytes = reader->read(index);
    give_back(reader);  // after an exception the reader is simply dropped
    return bytes;
  }

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
