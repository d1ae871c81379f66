// Right checksums for a mutated archive, so that readers of what lies inside are reached at all.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "data/formats/crc32.h"
#include "data/formats/little_endian.h"

namespace uvic::fuzz {

/// The archive with the CRC of every stored entry put right, in its local header and in the
/// directory; other bytes as they are.
inline std::string with_zip_checksums(std::string bytes) {
  using formats::load_little_endian;
  constexpr size_t kLocal = 30, kCentral = 46;  // bytes of the fixed part of a header
  const std::string_view signature("PK\1\2", 4);
  for (auto at = bytes.find(signature); at != std::string::npos && at + kCentral <= bytes.size();
       at = bytes.find(signature, at + 1)) {
    const char* entry = bytes.data() + at;
    const size_t size = load_little_endian<uint32_t>(entry + 24),
                 header = load_little_endian<uint32_t>(entry + 42);
    const bool is_stored = load_little_endian<uint16_t>(entry + 10) == 0 &&
                           load_little_endian<uint32_t>(entry + 20) == size;
    if (!is_stored || header + kLocal > bytes.size()) continue;
    const char* local = bytes.data() + header;
    const size_t content = header + kLocal + load_little_endian<uint16_t>(local + 26) +
                           load_little_endian<uint16_t>(local + 28);
    if (content > bytes.size() || size > bytes.size() - content) continue;
    const uint32_t crc = formats::crc32(std::string_view(bytes).substr(content, size));
    std::memcpy(bytes.data() + at + 16, &crc, sizeof crc);
    std::memcpy(bytes.data() + header + 14, &crc, sizeof crc);
  }
  return bytes;
}

}  // namespace uvic::fuzz
