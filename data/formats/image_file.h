// PNG, JPEG, WebP and BMP in, PNG out: through stb_image and libwebp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/formats/png_text.h"

namespace uvic::formats {

constexpr int kMostSide_px = 16384;                ///< of an image, read or written
constexpr int64_t kMostImagePixels = 100'000'000;  ///< width * height of an image that is read

/// An 8-bit RGB image, rows top to bottom, channels interleaved.
struct Image {
  int width = 0, height = 0;  ///< px
  std::vector<uint8_t> rgb;   ///< height * width * 3 bytes
};

struct ImageSize {
  int width = 0, height = 0;  ///< px
  bool operator==(const ImageSize& other) const {
    return width == other.width && height == other.height;
  }
  bool operator!=(const ImageSize& other) const { return !(*this == other); }
};

/// Decodes PNG, JPEG, WebP or BMP; grey and palette images become RGB, alpha is dropped, an
/// orientation in EXIF data is not applied (exif.h). `name` appears in messages.
///
/// Throws std::runtime_error if the bytes are no image or one of another kind (which is named), are
/// truncated, fail a PNG checksum, lack a scan or restart interval of a JPEG, are an animation, or
/// exceed kMostSide_px or kMostImagePixels; the limits hold before anything is allocated. Every
/// pixel of the result comes from the file: no byte is left as the heap had it.
Image decode_image(const uint8_t* bytes, size_t size_bytes, const std::string& name);
Image read_image(const std::filesystem::path& path);

/// The size alone, from the header. Throws as decode_image does for what a header shows.
ImageSize image_size(const uint8_t* bytes, size_t size_bytes, const std::string& name);

/// The endings of image files that decode_image reads: "png", "jpg", ... in lower case.
const std::vector<std::string>& image_endings();

/// The PNG of an image, in memory and (whole or not at all) on disk; its folder is not fsynced,
/// which would double the time that thousands of small files take. `texts` change no byte of the
/// pixels' chunks, and come before them.
std::vector<uint8_t> encode_png(const Image& image, const std::vector<ImageText>& texts = {});
void write_png(const std::filesystem::path& path,
               const Image& image,
               const std::vector<ImageText>& texts = {});

}  // namespace uvic::formats
