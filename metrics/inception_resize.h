// The three ways in which published tools bring images to Inception's 299 x 299, each to the last
// bit that matters.
#pragma once

#include "base/table.h"
#include "base/torch.h"

namespace uvic::metrics {

constexpr int64_t kInceptionImageSize = 299;  // px

/// How the network's input is made from images.
struct InceptionProtocol {
  const char* name;
  const char* help;
  const char* resize;  ///< for reports and statistics
  torch::Tensor (*input)(
      const torch::Tensor& images);  ///< uint8 [N, 3, H, W] -> float32 [N, 3, 299, 299]
};

base::Table<InceptionProtocol>& inception_protocols();

/// Bilinear between pixel centres, no antialiasing, then 2x - 1 with x in [0, 1].
/// Source: pytorch-fid, inception.py.
torch::Tensor pytorch_fid_input(const torch::Tensor& images);

/// TensorFlow 1's ResizeBilinear: output pixel i samples at i * in / out (corners, not centres), in
/// float32; then (x - 128) / 128. What the first FID code, ADM's evaluator and torch-fidelity
/// compute. Source: tensorflow/core/kernels/resize_bilinear_op.cc, half_pixel_centers = false.
torch::Tensor tf1_input(const torch::Tensor& images);

/// Pillow's bicubic (a = -0.5, widened by the reduction factor) on float planes, rows first, each
/// pass rounded to float32, clipped to [0, 255]; then (x - 128) / 128. What clean-fid computes.
/// Source: Parmar et al. 2022, arXiv:2104.11222; Pillow, src/libImaging/Resample.c.
torch::Tensor clean_input(const torch::Tensor& images);

}  // namespace uvic::metrics
