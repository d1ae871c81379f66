#include "data/sampled_checksum.h"

#include "data/formats/crc32.h"

namespace uvic::data {

uint32_t sampled_checksum(std::string_view bytes) {
  if (bytes.size() <= kChecksumBlock) return formats::crc32(bytes);
  uint32_t sum = 0;
  for (const auto at : checksum_blocks(bytes.size()))
    sum = formats::crc32(bytes.substr(at, kChecksumBlock), sum);
  return sum;
}

}  // namespace uvic::data
