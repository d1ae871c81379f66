// Tar archives (ustar, pax, GNU's long names), read in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/mapped_file.h"

namespace uvic::formats {

/// One file or folder of an archive.
struct TarEntry {
  std::string name;     ///< '/' between folders; a folder's own entry ends in '/'
  uint64_t offset = 0;  ///< of its bytes in the file
  uint64_t size_bytes = 0;
  bool is_file = false;  ///< bytes of its own: no folder, link or device
};

/// An open archive: its entries are listed once, then each is read by where it is. Safe to use from
/// several threads.
class TarReader {
 public:
  /// Headers are read one after the other, the bytes between them are not touched. Memory is that
  /// of the names. Throws std::runtime_error naming the file and the place if a checksum is wrong,
  /// an entry reaches beyond the end, a name leaves the archive (absolute, "..", NUL, longer than
  /// 4095 bytes), a pax record is damaged or larger than 1 MiB, the archive is cut off, or the
  /// file is sparse or continues another volume.
  ///
  /// Of an archive with many entries the listing is kept (tar_index.h), and taken up where a killed
  /// one has left it; `progress`, which may be empty and may throw, is told how far in the file it
  /// is.
  using ListingProgress = std::function<void(uint64_t bytes)>;
  explicit TarReader(const std::filesystem::path& path, const ListingProgress& progress = {});
  explicit TarReader(std::shared_ptr<const MappedFile> file);

  const std::string& name() const { return file_->name(); }
  const std::vector<TarEntry>& entries() const { return entries_; }

  /// The bytes of an entry, in place. Throws std::runtime_error if the archive was changed.
  std::string_view bytes(const TarEntry& entry) const;

 private:
  std::shared_ptr<const MappedFile> file_;
  std::vector<TarEntry> entries_;
};

/// Whether the bytes begin as a tar archive does: 512 of them, a header with its checksum.
bool is_tar(std::string_view bytes);

}  // namespace uvic::formats
