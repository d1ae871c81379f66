// Any image to the square that a network takes, and to planes of its own size.
#pragma once

#include <cstdint>

#include "base/tensor_fwd.h"
#include "data/formats/image_file.h"

namespace uvic::data {

/// Centre crop to the largest square, then resize to `size` px, then split into RGB planes [3,
/// size, size].
///
/// Shrinking averages the area under each pixel (OpenCV INTER_AREA: exact, no aliasing, no
/// ringing); enlarging is bicubic (INTER_CUBIC); an image of the right size passes unchanged. An
/// odd margin is cut one pixel more at the right and the bottom, as EDM's dataset_tool does. Throws
/// std::invalid_argument if image or size is empty.
void fit_square(const formats::Image& image, int64_t size, uint8_t* planes);

/// uint8 [3, height, width] of an image, and the image of such planes.
torch::Tensor image_planes(const formats::Image& image);
formats::Image image_of_planes(const torch::Tensor& planes);

}  // namespace uvic::data
