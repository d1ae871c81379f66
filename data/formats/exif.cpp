#include "data/formats/exif.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include "data/formats/little_endian.h"

namespace uvic::formats {
namespace {

/// Numbers of a TIFF header, whose first two bytes say the order; 0 beyond its end.
class TiffNumbers {
 public:
  explicit TiffNumbers(std::string_view bytes)
      : bytes_(bytes), is_big_endian_(bytes.substr(0, 2) == "MM") {}

  uint32_t read(size_t at, size_t width) const {
    uint32_t value = 0;
    if (at > bytes_.size() || bytes_.size() - at < width) return 0;
    for (size_t i = 0; i < width; ++i)
      value = value << 8 | static_cast<uint8_t>(bytes_[at + (is_big_endian_ ? i : width - 1 - i)]);
    return value;
  }

 private:
  std::string_view bytes_;
  bool is_big_endian_;
};

int orientation_of_tiff(std::string_view tiff) {
  if (tiff.substr(0, 2) != "II" && tiff.substr(0, 2) != "MM") return 1;
  const TiffNumbers numbers(tiff);
  const size_t directory = numbers.read(4, 4);
  const uint32_t entries = numbers.read(directory, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    if (entry + 12 > tiff.size()) break;
    if (numbers.read(entry, 2) != 0x0112) continue;
    const auto value = static_cast<int>(numbers.read(entry + 8, 2));
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

int orientation_of_jpeg(std::string_view bytes) {
  size_t at = 2;
  while (at + 4 <= bytes.size() && bytes[at] == '\xff') {
    const auto marker = static_cast<uint8_t>(bytes[at + 1]);
    if (marker == 0xff) {
      ++at;
      continue;
    }
    if (marker == 0xda || marker == 0xd9) break;
    const size_t length = static_cast<size_t>(static_cast<uint8_t>(bytes[at + 2])) << 8 |
                          static_cast<uint8_t>(bytes[at + 3]);
    if (length < 2 || length > bytes.size() - at - 2) break;
    const auto segment = bytes.substr(at + 4, length - 2);
    if (marker == 0xe1 && segment.substr(0, 6) == std::string_view("Exif\0\0", 6))
      return orientation_of_tiff(segment.substr(6));
    at += 2 + length;
  }
  return 1;
}

int orientation_of_png(std::string_view bytes) {
  size_t at = 8;
  while (bytes.size() - at >= 12) {
    const size_t length = __builtin_bswap32(load_little_endian<uint32_t>(bytes.data() + at));
    if (length > bytes.size() - at - 12) break;
    const auto kind = bytes.substr(at + 4, 4);
    if (kind == "eXIf") return orientation_of_tiff(bytes.substr(at + 8, length));
    if (kind == "IEND") break;
    at += 12 + length;
  }
  return 1;
}

int orientation_of_webp(std::string_view bytes) {
  size_t at = 12;
  while (bytes.size() - at >= 8) {
    const size_t length = load_little_endian<uint32_t>(bytes.data() + at + 4);
    if (length > bytes.size() - at - 8) break;
    if (bytes.substr(at, 4) == "EXIF") {
      auto content = bytes.substr(at + 8, length);
      if (content.substr(0, 6) == std::string_view("Exif\0\0", 6)) content.remove_prefix(6);
      return orientation_of_tiff(content);
    }
    at += 8 + length + (length & 1);
    if (at > bytes.size()) break;
  }
  return 1;
}

}  // namespace

int exif_orientation(const uint8_t* bytes, size_t size_bytes) {
  const std::string_view file(reinterpret_cast<const char*>(bytes), size_bytes);
  if (file.substr(0, 3) == "\xff\xd8\xff") return orientation_of_jpeg(file);
  if (file.substr(0, 4) == "\x89PNG" && file.size() > 8) return orientation_of_png(file);
  if (file.substr(0, 4) == "RIFF" && file.size() > 12 && file.substr(8, 4) == "WEBP")
    return orientation_of_webp(file);
  return 1;
}

Image upright(const Image& image, int orientation) {
  if (orientation < 1 || orientation > 8)
    throw std::invalid_argument(fmt::format("upright: orientation {}, want 1 to 8", orientation));
  if (orientation == 1) return image;
  const bool transposed = orientation >= 5;
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image out{transposed ? image.height : image.width, transposed ? image.width : image.height, {}};
  out.rgb.resize(image.rgb.size());
  auto* to = out.rgb.data();
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x, to += 3) {
      int column = transposed ? y : x, row = transposed ? x : y;
      if (from_right) column = image.width - 1 - column;
      if (from_bottom) row = image.height - 1 - row;
      const auto* from = &image.rgb[3 * (static_cast<size_t>(row) * image.width + column)];
      std::copy(from, from + 3, to);
    }
  return out;
}

}  // namespace uvic::formats
