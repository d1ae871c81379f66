// A checksum of a file that reads little of it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace uvic::data {

constexpr uint64_t kChecksumBlock = 1024;     ///< bytes
constexpr int64_t kMostSampledFiles = 65536;  ///< of a set, spread over it

/// Where the blocks of kChecksumBlock bytes begin: the first, the middle, the last; all at 0 where
/// there is one.
constexpr std::array<uint64_t, 3> checksum_blocks(uint64_t size_bytes) {
  const uint64_t last = size_bytes > kChecksumBlock ? size_bytes - kChecksumBlock : 0;
  return {0, last / 2, last};
}

/// CRC-32 of these blocks, one after the other; of a file of at most one block, of its bytes.
uint32_t sampled_checksum(std::string_view bytes);

}  // namespace uvic::data
