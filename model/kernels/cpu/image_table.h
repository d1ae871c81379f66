// Kernels for images in channels-last memory [H, W, C]: the interface between the files built for
// one instruction set (image_isa_*.cpp) and the rest of the program. No inline function is allowed
// here, see kernel_table.h.
#pragma once

#include <stdint.h>

#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {

/// For each channel c, over rows begin .. end - 1 of x [rows, channels]:
/// sums[c] = sum of d, sums[channels + c] = sum of d^2, with d = x[., c] - pivot[c].
struct ChannelSumsCall {
  ElementType type;
  int64_t channels;
  const void* x;
  const float* pivot;  ///< [channels]
};

/// y = x * scale[c] + shift[c], then y * sigmoid(y) if `silu`.
struct ScaleChannelsCall {
  ElementType type;      ///< of x
  ElementType out_type;  ///< of y
  int64_t channels;
  bool silu;
  const void* x;
  const float *scale, *shift;  ///< [channels]
  void* y;
};

/// A 3x3 convolution with stride 1 and one row and column of zeros around the image, in float32, by
/// Winograd's F(2x2, 3x3): y = A^T ((G g G^T) * (B^T d B)) A for tiles of 2x2 results.
///
/// Source: Lavin and Gray 2016, arXiv:1509.09308, section 4.1.
struct WinogradCall {
  int64_t height, width;      ///< of the result
  int64_t channels, columns;  ///< in and out: multiples of winograd_columns()
  int64_t upsample;           ///< 1: each element of x is used as a square of 2x2
  const float* x;             ///< [height >> upsample, width >> upsample, channels]
  const float* weight;        ///< packed
  const float* bias;          ///< [columns]
  const float* residual;      ///< [height, width, columns] added to the result, or null
  float* y;                   ///< [height, width, columns]
};

struct ImageKernels {
  void (*channel_sums)(const ChannelSumsCall&, int64_t begin, int64_t end, float* sums);
  void (*scale_channels)(const ScaleChannelsCall&, int64_t begin, int64_t end);
  /// What channels and columns must be multiples of.
  int64_t (*winograd_columns)();
  /// weight [columns, channels, 3, 3] -> packed, 16 * columns * channels floats. Groups of
  /// winograd_columns() columns, begin .. end - 1.
  void (*winograd_pack)(const float* weight,
                        int64_t columns,
                        int64_t channels,
                        int64_t begin,
                        int64_t end,
                        float* packed);
  int64_t (*winograd_pieces)(const WinogradCall&);
  int64_t (*winograd_scratch)(const WinogradCall&);  ///< floats
  void (*winograd)(const WinogradCall&, int64_t begin, int64_t end, float* scratch);
};

/// The kernels of active_isa(), or of the widest vectors below it.
const ImageKernels& active_image_kernels();

namespace portable {
extern const ImageKernels kImageKernels;
}
namespace avx2 {
extern const ImageKernels kImageKernels;
}
namespace avx512 {
extern const ImageKernels kImageKernels;
}

}  // namespace uvic::model
