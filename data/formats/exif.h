// The orientation that cameras write into EXIF data: which way up an image is to be shown.
#pragma once

#include <cstddef>
#include <cstdint>

#include "data/formats/image_file.h"

namespace uvic::formats {

/// The orientation in the EXIF data of a JPEG (APP1), PNG (eXIf) or WebP (EXIF): 1 to 8, or 1 where
/// there is none or it is damaged. Source: CIPA DC-008 (EXIF 2.32), tag 0x0112.
int exif_orientation(const uint8_t* bytes, size_t size_bytes);

/// The image as it is to be shown: 1 unchanged, 2 mirrored, 3 turned by 180 degrees, 4 upside down,
/// 5 transposed, 6 turned clockwise by 90, 7 transposed about the other diagonal, 8 turned counter-
/// clockwise by 90. Throws std::invalid_argument for another orientation.
Image upright(const Image& image, int orientation);

}  // namespace uvic::formats
