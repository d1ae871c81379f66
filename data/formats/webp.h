// WebP, lossy and lossless, through libwebp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "data/formats/image_file.h"

namespace uvic::formats {

bool is_webp(const uint8_t* bytes, size_t size_bytes);

/// From the header. Throws std::runtime_error naming `name` for an animation and a damaged header.
ImageSize webp_size(const uint8_t* bytes, size_t size_bytes, const std::string& name);

/// Throws std::runtime_error naming `name` where the file is truncated or damaged. Alpha is
/// dropped. The caller has checked the size.
Image decode_webp(const uint8_t* bytes, size_t size_bytes, const std::string& name);

}  // namespace uvic::formats
