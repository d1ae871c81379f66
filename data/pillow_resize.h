// Image.resize of Pillow, byte for byte: what published features were made with.
#pragma once

#include <cstdint>

#include "base/table.h"
#include "data/formats/image_file.h"

namespace uvic::data {

/// Weights of a filter, by the distance from the centre of a pixel of the result, in pixels of the
/// result where it shrinks. 0 beyond `support`.
struct ResizeFilter {
  double (*weight)(double distance);
  double support;
};
extern const ResizeFilter kPillowBox, kPillowBicubic, kPillowLanczos;

/// Rows first, then columns, each rounded to bytes, with weights in fixed point of 22 bits. Equal
/// to Pillow from 2.7 on. Source: Pillow, src/libImaging/Resample.c.
formats::Image pillow_resize(const formats::Image& image,
                             int width,
                             int height,
                             const ResizeFilter& filter);

/// How an image becomes the square that an autoencoder encodes.
struct SquareCrop {
  const char* name;
  const char* help;
  formats::Image (*fit)(const formats::Image& image, int size);
};
base::Table<SquareCrop>& square_crops();

}  // namespace uvic::data
