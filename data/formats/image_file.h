// PNG, JPEG and BMP in, PNG out, through stb.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace uvic::formats {

constexpr int kMostPixels = 16384;  ///< of a side, read or written

/// An 8-bit RGB picture, rows top to bottom, channels interleaved.
struct Image {
  int width = 0, height = 0;  ///< px
  std::vector<uint8_t> rgb;   ///< height * width * 3 bytes
};

/// Decodes PNG, JPEG or BMP; grey and palette pictures become RGB, alpha is dropped, a rotation in
/// EXIF data is not applied. `name` stands in messages. Throws std::runtime_error if the bytes are
/// no picture, are truncated, fail a PNG checksum or exceed kMostPixels a side.
Image decode_image(const uint8_t* bytes, size_t size_bytes, const std::string& name);
Image read_image(const std::filesystem::path& path);

/// The PNG of a picture, in memory and (whole or not at all) on disk; its folder is not fsynced,
/// which would double the time that thousands of small files take.
std::vector<uint8_t> encode_png(const Image& image);
void write_png(const std::filesystem::path& path, const Image& image);

}  // namespace uvic::formats
