// EXIF data with one entry, the orientation, for tests.
#pragma once

#include <cstdint>
#include <string>

namespace uvic::test {

/// An APP1 segment of a JPEG.
inline std::string exif_segment(int orientation, bool big_endian = false) {
  const auto number = [&](uint32_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i)
      text += static_cast<char>(value >> 8 * (big_endian ? bytes - 1 - i : i));
    return text;
  };
  std::string tiff = big_endian ? "MM" : "II";
  tiff += number(42, 2) + number(8, 4) + number(1, 2);      // one entry at byte 8
  tiff += number(0x0112, 2) + number(3, 2) + number(1, 4);  // orientation, one short
  tiff += number(static_cast<uint32_t>(orientation), 2) + number(0, 2) + number(0, 4);
  const auto content = std::string("Exif\0\0", 6) + tiff;
  const auto length = content.size() + 2;
  return std::string("\xff\xe1") + static_cast<char>(length >> 8) + static_cast<char>(length) +
         content;
}

/// The JPEG with that segment at its beginning.
inline std::string with_exif(std::string jpeg, int orientation, bool big_endian = false) {
  jpeg.insert(2, exif_segment(orientation, big_endian));
  return jpeg;
}

}  // namespace uvic::test
