// The bytes of a file, mapped rather than read: nothing is loaded before it is touched.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/tensor_fwd.h"
#include "data/formats/regular_file.h"

namespace uvic::formats {

/// A private (copy-on-write) memory map, or bytes held in memory under a name. Readers work on
/// either, so that they can be tested and fuzzed without a disk. Writing through data() never
/// reaches the file.
///
/// Another program may shorten the file or write into it while it is mapped. Pages that are gone
/// then read as zeros (the process's SIGBUS handler puts zeros there), and require_unchanged()
/// throws: whoever uses the bytes calls it afterwards. Replacing the file by rename, as AtomicFile
/// does, changes nothing.
class MappedFile {
 public:
  /// Throws std::runtime_error naming the path if it is absent, unreadable or no regular file.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  /// `name` is used in messages.
  static std::shared_ptr<const MappedFile> from_bytes(std::string bytes, std::string name);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& name() const { return name_; }

  /// Throws std::runtime_error naming the file where it was changed since it was opened. Costs one
  /// system call.
  void require_unchanged() const;

 private:
  MappedFile() = default;

  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  std::unique_ptr<RegularFile> file_;  // null: bytes in memory
  size_t guard_ = 0;                   // of the map, see mapped_file.cpp
  std::string name_, bytes_;
};

/// Throws std::runtime_error if pages of any mapped file were gone when they were read, since the
/// process began: results that were made from it are not to be trusted. For the end of a program.
void require_nothing_lost();

/// A contiguous tensor over bytes of the file, which it keeps alive; a copy where the element type
/// needs an alignment that the bytes do not have. The caller has checked that offset and sizes lie
/// within the file.
torch::Tensor tensor_over(const std::shared_ptr<const MappedFile>& file,
                          size_t offset_bytes,
                          at::IntArrayRef sizes,
                          torch::ScalarType dtype);

/// Sets every byte above 1 to 1: other values in a bool are undefined behaviour. Untouched pages
/// stay untouched.
void normalise_bools(uint8_t* bytes, size_t size);

/// Number of elements, or -1 where a size is negative or the tensor would exceed 2^62 bytes at 16
/// bytes an element.
int64_t checked_numel(at::IntArrayRef sizes);

}  // namespace uvic::formats
