// Zip archives, written as a stream of stored entries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/atomic_file.h"

namespace uvic::formats {

/// Writes entry by entry, whole archive or nothing; zip64 where sizes need it.
class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& path);

  /// `alignment`: the content begins at a multiple of it in the file (PyTorch uses 64).
  /// Throws std::invalid_argument for a name that is empty, absolute, longer than 4095 bytes or
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
