// Zip archives: the directory is ours, zlib inflates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/mapped_file.h"

namespace uvic::formats {

/// Values of the 32-bit and 16-bit fields of a zip file that refer to its zip64 fields.
constexpr uint32_t kZipNone32 = 0xffffffff;
constexpr uint16_t kZipNone16 = 0xffff;

struct ZipEntry {
  std::string_view name;    ///< with '/' between folders; a folder's own entry ends in '/'
  uint64_t size_bytes = 0;  ///< unpacked
  uint64_t packed_bytes = 0;
  uint64_t header_at = 0;  ///< of its local header in the file
  uint32_t crc32 = 0;
  uint16_t method = 0;  ///< 0 stored, 8 deflated
  bool is_encrypted = false;
  bool is_stored = false;  ///< neither compressed nor encrypted
};

/// An open archive. An entry takes its name and 48 bytes of memory. The const functions may be
/// called from several threads at once.
class ZipReader {
 public:
  /// Throws std::runtime_error naming the file if it is no zip archive, is damaged, holds entries
  /// that overlap, or one whose path is absolute, climbs out with "..", holds a NUL or is longer
  /// than 4095 bytes.
  explicit ZipReader(const std::filesystem::path& path);
  explicit ZipReader(std::shared_ptr<const MappedFile> file);

  const std::string& name() const { return file_->name(); }
  const std::vector<ZipEntry>& entries() const { return entries_; }
  /// The first entry of that name.
  std::optional<size_t> find(std::string_view entry) const;

  /// The unpacked bytes, checked against their CRC. Memory grows with what is really there, not
  /// with what the archive says. Throws std::runtime_error naming archive and entry if it is
  /// damaged, encrypted, packed otherwise than by deflate, larger than the limit, larger than its
  /// packed bytes can hold (deflate expands at most 1032-fold), or has more than 256 MiB packed in
  /// less than a 200th of them; naming the archive if that was changed meanwhile.
  std::string read(size_t index, uint64_t limit_bytes = uint64_t{1} << 32) const;

  /// At most the first `count` unpacked bytes, the CRC unchecked: what the rest is, is known before
  /// it is unpacked. Throws as read() does.
  std::string read_beginning(size_t index, size_t count) const;

  /// Where a stored entry begins in file(), so that it can be used in place (size_bytes long, its
  /// CRC unchecked); nothing for entries that are packed or lie outside the file.
  std::optional<size_t> stored_at(size_t index) const;

  /// The same; all its bytes are read and checked against their CRC. Throws as read() does.
  std::optional<size_t> verified_at(size_t index) const;
  const std::shared_ptr<const MappedFile>& file() const { return file_; }

 private:
  struct ByName;
  std::runtime_error refusal(size_t index, const std::string& text) const;
  std::optional<size_t> content_at(size_t index) const;
  std::string unpack(size_t index, uint64_t count) const;

  std::shared_ptr<const MappedFile> file_;
  std::vector<char> names_;  // of all entries, one after another
  std::vector<ZipEntry> entries_;
  std::shared_ptr<ByName> by_name_;  // made when it is first asked for
};

constexpr size_t kLongestEntryName = 4095;  ///< PATH_MAX less the final NUL

/// Whether the path of an entry is empty, absolute or climbs out of the archive with "..".
bool leaves_archive(std::string_view name);

}  // namespace uvic::formats
