// The bytes of a file, mapped rather than read: nothing is loaded before it is touched.
#pragma once

#include <torch/torch.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace uvic::formats {

/// A private (copy-on-write) memory map, or bytes held in memory under a name. Readers work on
/// either, so that they can be tested and fuzzed without a disk. Writing through data() never
/// reaches the file. Another process that shortens the file while it is mapped kills the reader
/// (SIGBUS); replacing it by rename, as AtomicFile does, is safe.
class MappedFile {
 public:
  /// Throws std::runtime_error naming the path if it is absent, unreadable or no regular file.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  /// `name` stands in messages.
  static std::shared_ptr<const MappedFile> from_bytes(std::string bytes, std::string name);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& name() const { return name_; }

 private:
  MappedFile() = default;

  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  bool is_mapped_ = false;
  std::string name_, bytes_;
};

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
