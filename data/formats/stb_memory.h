// The memory that stb_image decodes in: bounded, and zero before use.
#pragma once

#include <cstddef>

namespace uvic::formats {

/// Applies to the decoding calls of the calling thread while it lives. An allocation of more than
/// `most_bytes` fails, and stb_image reports "outofmem": compressed data can't grow past what its
/// header announces. Every byte starts as 0: what a damaged file leaves unwritten is the same in
/// every run, and never what the heap held before.
class StbMemory {
 public:
  explicit StbMemory(size_t most_bytes);
  ~StbMemory();
  StbMemory(const StbMemory&) = delete;
  StbMemory& operator=(const StbMemory&) = delete;

 private:
  size_t most_bytes_before_;
};

}  // namespace uvic::formats
