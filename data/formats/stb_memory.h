// The memory that stb_image decodes in: bounded, and filled with a known byte before use.
#pragma once

#include <cstddef>
#include <cstdint>

namespace uvic::formats {

/// Applies to the decoding calls of the calling thread while it lives. An allocation of more than
/// `most_bytes` fails, and stb_image reports "outofmem": compressed data can't grow past what its
/// header announces. Every byte starts as `fill`, 0 unless set: what a damaged file leaves
/// unwritten is the same in every run, and never what the heap held before.
class StbMemory {
 public:
  explicit StbMemory(size_t most_bytes);       ///< keeps the fill
  StbMemory(size_t most_bytes, uint8_t fill);  ///< for tests: shows what decoding leaves unwritten
  ~StbMemory();
  StbMemory(const StbMemory&) = delete;
  StbMemory& operator=(const StbMemory&) = delete;

 private:
  size_t most_bytes_before_;
  uint8_t fill_before_;
};

}  // namespace uvic::formats
