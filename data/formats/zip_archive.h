// Zip archives: read through libzip, written as a stream of stored entries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/formats/atomic_file.h"
#include "data/formats/mapped_file.h"

namespace uvic::formats {

struct ZipEntry {
  std::string name;         ///< with '/' between folders; a folder's own entry ends in '/'
  uint64_t size_bytes = 0;  ///< unpacked
  uint64_t packed_bytes = 0;
  uint32_t crc32 = 0;
  bool is_stored = false;  ///< neither compressed nor encrypted
};

/// An open archive. The const functions may be called from several threads: stored entries are read
/// in parallel, deflated ones one at a time (threads that inflate much open a reader each).
class ZipReader {
 public:
  /// Throws std::runtime_error naming the file if it is no zip archive, is damaged, or holds an
  /// entry whose path is absolute or climbs out with "..".
  explicit ZipReader(const std::filesystem::path& path);
  explicit ZipReader(std::shared_ptr<const MappedFile> file);
  ~ZipReader();
  ZipReader(ZipReader&&) noexcept;

  const std::string& name() const { return file_->name(); }
  const std::vector<ZipEntry>& entries() const { return entries_; }
  std::optional<size_t> find(const std::string& entry) const;

  /// The unpacked bytes, checked against their CRC. Throws std::runtime_error naming archive and
  /// entry if it is damaged, encrypted, packed otherwise than by deflate, larger than the limit, or
  /// larger than its packed bytes can hold (deflate expands at most 1032-fold).
  std::string read(size_t index, uint64_t limit_bytes = uint64_t{1} << 32) const;

  /// Where a stored entry begins in file(), so that it can be used in place (size_bytes long, its
  /// CRC unchecked); nothing for entries that are packed.
  std::optional<size_t> stored_at(size_t index) const;
  const std::shared_ptr<const MappedFile>& file() const { return file_; }

 private:
  struct Handle;
  std::shared_ptr<const MappedFile> file_;
  std::unique_ptr<Handle> handle_;
  std::vector<ZipEntry> entries_;
  std::vector<uint64_t>
      headers_at_;  // local headers; empty where the directory is not as we know it
  std::unordered_map<std::string, size_t> index_;
};

/// Writes entry by entry, whole archive or nothing; zip64 where sizes need it. Not through libzip,
/// which holds every entry in memory until the archive is closed.
class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& path);

  /// `alignment`: the content begins at a multiple of it in the file (PyTorch uses 64).
  /// Throws std::invalid_argument for a name that is empty, absolute, longer than 65535 bytes or
  /// holds "..".
  void add(const std::string& name, std::string_view content, size_t alignment = 1);
  void commit();  ///< writes the directory; without it the archive vanishes

 private:
  struct Written {
    std::string name;
    uint64_t size_bytes, header_at;
    uint32_t crc32;
  };
  void put(const std::string& bytes);

  AtomicFile file_;
  uint64_t at_ = 0;
  std::vector<Written> written_;
};

}  // namespace uvic::formats
