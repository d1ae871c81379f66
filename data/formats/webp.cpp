#include "data/formats/webp.h"

#include <fmt/format.h>
#include <webp/decode.h>

#include <cstring>
#include <stdexcept>

namespace uvic::formats {

bool is_webp(const uint8_t* bytes, size_t size_bytes) {
  return size_bytes >= 12 && std::memcmp(bytes, "RIFF", 4) == 0 &&
         std::memcmp(bytes + 8, "WEBP", 4) == 0;
}

ImageSize webp_size(const uint8_t* bytes, size_t size_bytes, const std::string& name) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(bytes, size_bytes, &features) != VP8_STATUS_OK)
    throw std::runtime_error(fmt::format("{}: the image is truncated or damaged", name));
  if (features.has_animation)
    throw std::runtime_error(
        fmt::format("{}: an animated WebP; save each frame as an image of its own", name));
  return {features.width, features.height};
}

Image decode_webp(const uint8_t* bytes, size_t size_bytes, const std::string& name) {
  const auto size = webp_size(bytes, size_bytes, name);
  Image image{size.width, size.height, {}};
  image.rgb.resize(size_t{3} * image.width * image.height);
  if (!WebPDecodeRGBInto(bytes, size_bytes, image.rgb.data(), image.rgb.size(), 3 * image.width))
    throw std::runtime_error(fmt::format("{}: the image is truncated or damaged", name));
  return image;
}

}  // namespace uvic::formats
