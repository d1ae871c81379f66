#include "data/formats/crc32.h"
#include "data/formats/image_file.h"
#include "tests/fuzz/fuzz_target.h"

namespace {

// Mutations break a PNG's checksums, so that none would reach the decoder: puts right ones in.
std::string with_png_checksums(std::string bytes) {
  const auto big_endian = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
    return value;
  };
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t length = big_endian(at);
    if (length > bytes.size() - at - 12) break;
    const uint32_t crc = uvic::formats::crc32(std::string_view(bytes).substr(at + 4, 4 + length));
    for (size_t i = 0; i < 4; ++i) {
      bytes[at + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i));
    }
    at += 12 + length;
  }
  return bytes;
}

}  // namespace

UVIC_FUZZ_TARGET(image_file, ".png", ".jpg", ".bmp", ".webp") {
  const std::string picture = bytes.substr(0, 4) == "\x89PNG" ? with_png_checksums(bytes) : bytes;
  uvic::formats::read_png_texts(
      reinterpret_cast<const uint8_t*>(picture.data()), picture.size(), "fuzz");
  uvic::formats::decode_image(
      reinterpret_cast<const uint8_t*>(picture.data()), picture.size(), "fuzz");
}
