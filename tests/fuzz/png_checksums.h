// Right checksums for a mutated PNG, so that the decoder is reached at all.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/formats/crc32.h"

namespace uvic::fuzz {

inline bool is_png(std::string_view bytes) { return bytes.substr(0, 4) == "\x89PNG"; }

/// The PNG with the CRC of every chunk put right; other bytes as they are.
inline std::string with_png_checksums(std::string bytes) {
  const auto big_endian = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
    return value;
  };
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t length = big_endian(at);
    if (length > bytes.size() - at - 12) break;
    const uint32_t crc = formats::crc32(std::string_view(bytes).substr(at + 4, 4 + length));
    for (size_t i = 0; i < 4; ++i) {
      bytes[at + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i));
    }
    at += 12 + length;
  }
  return bytes;
}

}  // namespace uvic::fuzz
