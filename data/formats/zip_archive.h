// Zip archives, read through libzip.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/formats/mapped_file.h"

namespace uvic::formats {

/// Values of the 32-bit and 16-bit fields of a zip file that refer to its zip64 fields.
constexpr uint32_t kZipNone32 = 0xffffffff;
constexpr uint16_t kZipNone16 = 0xffff;

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
  /// entry whose path is absolute, climbs out with "..", holds a NUL or is longer than 4095 bytes.
  explicit ZipReader(const std::filesystem::path& path);
  explicit ZipReader(std::shared_ptr<const MappedFile> file);
  ~ZipReader();
  ZipReader(ZipReader&&) noexcept;

  const std::string& name() const { return file_->name(); }
  const std::vector<ZipEntry>& entries() const { return entries_; }
  std::optional<size_t> find(const std::string& entry) const;

  /// The unpacked bytes, checked against their CRC. Memory grows with what is really there, not
  /// with what the archive says. Throws std::runtime_error naming archive and entry if it is
  /// damaged, encrypted, packed otherwise than by deflate, larger than the limit, or larger than
  /// its packed bytes can hold (deflate expands at most 1032-fold); naming the archive if that was
  /// changed meanwhile.
  std::string read(size_t index, uint64_t limit_bytes = uint64_t{1} << 32) const;

  /// At most the first `count` unpacked bytes, the CRC unchecked: what the rest is, is known before
  /// it is unpacked. Throws as read() does.
  std::string read_beginning(size_t index, size_t count) const;

  /// Where a stored entry begins in file(), so that it can be used in place (size_bytes long, its
  /// CRC unchecked); nothing for entries that are packed.
  std::optional<size_t> stored_at(size_t index) const;

  /// The same; all its bytes are read and checked against their CRC. Throws as read() does.
  std::optional<size_t> verified_at(size_t index) const;
  const std::shared_ptr<const MappedFile>& file() const { return file_; }

 private:
  struct Handle;
  std::runtime_error refusal(size_t index, const std::string& text) const;
  std::string unpack(size_t index, uint64_t count) const;

  std::shared_ptr<const MappedFile> file_;
  std::unique_ptr<Handle> handle_;
  std::vector<ZipEntry> entries_;
  std::vector<uint64_t>
      headers_at_;  // local headers; empty where the directory is not as we know it
  std::unordered_map<std::string, size_t> index_;
};

constexpr size_t kLongestEntryName = 4095;  ///< PATH_MAX less the final NUL

/// Whether the path of an entry is empty, absolute or climbs out of the archive with "..".
bool leaves_archive(const std::string& name);

}  // namespace uvic::formats
