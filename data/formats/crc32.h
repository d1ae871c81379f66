// CRC-32 of zip and PNG (polynomial 0xedb88320).
#pragma once

#include <cstdint>
#include <string_view>

namespace uvic::formats {

/// The checksum of `bytes` after others whose checksum is `before`.
uint32_t crc32(std::string_view bytes, uint32_t before = 0);

}  // namespace uvic::formats
