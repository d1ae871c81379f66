// Zip archives, written as a stream of stored entries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/byte_sink.h"
#include "data/formats/part_file.h"

namespace uvic::formats {

/// Writes entry by entry, whole archive or nothing; zip64 where sizes need it.
class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& path);
  /// Continues the entries that are in `part`, as this class wrote them. Throws std::runtime_error
  /// where they are others.
  explicit ZipWriter(std::shared_ptr<PartFile> part);

  /// `alignment`: the content begins at a multiple of it in the file (PyTorch uses 64).
  /// Throws std::invalid_argument for a name that is empty, absolute, longer than 4095 bytes or
  /// holds "..".
  void add(const std::string& name, std::string_view content, size_t alignment = 1);
  size_t entries() const { return written_.size(); }
  void commit();  ///< writes the directory; without it the archive vanishes, or stays a part

 private:
  struct Written {
    std::string name;
    uint64_t size_bytes, header_at;
    uint32_t crc32;
  };
  void put(const std::string& bytes);
  void take_up(const PartFile& part);

  std::shared_ptr<ByteSink> file_;
  uint64_t at_ = 0;
  std::vector<Written> written_;
};

}  // namespace uvic::formats
