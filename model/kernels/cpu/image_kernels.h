// Passes and convolutions over images in channels-last memory on the CPU, for inference. None of
// these functions records a graph. Sums are divided into pieces whose number depends on the size of
// the image only, so results do not depend on the number of threads.
#pragma once

#include <memory>
#include <vector>

#include "base/torch.h"
#include "model/kernels/cpu/image_table.h"

namespace uvic::model {

/// Whether the functions below support x [B, C, H, W]: on the CPU, float32 or bf16, channels-last.
bool image_kernels_serve(const torch::Tensor& x);

/// GroupNorm, and then y * sigmoid(y) if `silu`, in the dtype of x. weight and bias are float32
/// [C]. Statistics of a group are summed in float32 around the first place of the image, and over
/// pieces and channels in float64.
torch::Tensor image_group_norm(const torch::Tensor& x,
                               int64_t groups,
                               const torch::Tensor& weight,
                               const torch::Tensor& bias,
                               double epsilon,
                               bool silu);

/// The weight of a 3x3 convolution, packed for image_conv3x3() and the kernels that were active.
class PackedConv3x3 {
 public:
  /// Whether it is served, and faster than the definition: float32, 64 channels or more on both
  /// sides in multiples of 32.
  static bool serves(const torch::Tensor& weight);
  explicit PackedConv3x3(const torch::Tensor& weight);  ///< [out, in, 3, 3] float32

  const ImageKernels& kernels() const { return *kernels_; }
  const float* data() const { return packed_.data_ptr<float>(); }
  int64_t channels() const { return channels_; }
  int64_t columns() const { return columns_; }

 private:
  const ImageKernels* kernels_;
  torch::Tensor packed_;
  int64_t channels_, columns_;
};

/// residual + x * weight + bias with stride 1 and padding 1, float32; of x enlarged to twice its
/// sides by nearest neighbours if `upsample`. residual may be undefined, else channels-last.
///
/// By Winograd's F(2x2, 3x3) (winograd.h), whose rounding errors are about twice the definition's.
torch::Tensor image_conv3x3(const torch::Tensor& x,
                            const PackedConv3x3& weight,
                            const torch::Tensor& bias,
                            const torch::Tensor& residual,
                            bool upsample);

}  // namespace uvic::model
