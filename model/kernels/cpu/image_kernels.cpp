#include "model/kernels/cpu/image_kernels.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "model/kernels/cpu/element_type.h"
#include "model/kernels/cpu/isa.h"

namespace uvic::model {
namespace {

using torch::Tensor;

constexpr int64_t kMostImagePieces = 64;
constexpr int64_t kLeastImageRows = 64;
constexpr int64_t kImageElementsPerThread = 65536;

/// scale and shift of each channel, from the sums of pieces around `pivot`.
void finish_statistics(const Tensor& sums,
                       const Tensor& pivot,
                       int64_t rows,
                       int64_t groups,
                       const Tensor& weight,
                       const Tensor& bias,
                       double epsilon,
                       Tensor& scale,
                       Tensor& shift) {
  const int64_t channels = pivot.numel(), of_group = channels / groups;
  const auto total = sums.to(torch::kFloat64).sum(0);  // [2 channels]
  const auto* s = total.data_ptr<double>();
  const auto* p = pivot.data_ptr<float>();
  const auto n = static_cast<double>(rows);
  for (int64_t g = 0; g < groups; ++g) {
    // Each channel's mean, and the sum of squares around it; then around the mean of all.
    double mean = 0;
    for (int64_t c = g * of_group; c < (g + 1) * of_group; ++c) mean += p[c] + s[c] / n;
    mean /= static_cast<double>(of_group);
    double squares = 0;
    for (int64_t c = g * of_group; c < (g + 1) * of_group; ++c) {
      const double off = p[c] + s[c] / n - mean;
      squares += s[channels + c] - s[c] * s[c] / n + n * off * off;
    }
    const double inverse =
        1 / std::sqrt(std::max(squares, 0.0) / (n * static_cast<double>(of_group)) + epsilon);
    for (int64_t c = g * of_group; c < (g + 1) * of_group; ++c) {
      const double a = weight.data_ptr<float>()[c] * inverse;
      scale.data_ptr<float>()[c] = static_cast<float>(a);
      shift.data_ptr<float>()[c] = static_cast<float>(bias.data_ptr<float>()[c] - mean * a);
    }
  }
}

}  // namespace

const ImageKernels& active_image_kernels() {
  switch (active_isa()) {
#ifdef UVIC_HAS_AVX2
    case Isa::avx2:
      return avx2::kImageKernels;
#endif
#if defined(UVIC_HAS_AVX512) || defined(UVIC_HAS_AVX512_BF16)
    case Isa::avx512:
    case Isa::avx512_bf16:
    case Isa::amx_bf16:
    case Isa::amx_emulated:
      return avx512::kImageKernels;
#endif
    default:
      return portable::kImageKernels;
  }
}

bool image_kernels_serve(const Tensor& x) {
  return x.is_cpu() && x.dim() == 4 &&
         (x.scalar_type() == torch::kFloat32 || x.scalar_type() == torch::kBFloat16) &&
         x.is_contiguous(torch::MemoryFormat::ChannelsLast) && x.numel() > 0;
}

Tensor image_group_norm(const Tensor& x,
                        int64_t groups,
                        const Tensor& weight,
                        const Tensor& bias,
                        double epsilon,
                        bool silu) {
  TORCH_INTERNAL_ASSERT(image_kernels_serve(x) && x.size(1) % groups == 0);
  const int64_t channels = x.size(1), rows = x.size(2) * x.size(3);
  const auto& kernels = active_image_kernels();
  const auto y = torch::empty_like(x);
  const int64_t size = std::max(kLeastImageRows, (rows + kMostImagePieces - 1) / kMostImagePieces);
  const int64_t pieces = (rows + size - 1) / size;
  const int64_t grain = std::max<int64_t>(1, kImageElementsPerThread / channels);
  auto scale = torch::empty({channels}), shift = torch::empty({channels});
  for (int64_t i = 0; i < x.size(0); ++i) {
    const auto image = x[i].permute({1, 2, 0}).view({rows, channels});
    const auto pivot = image[0].to(torch::kFloat32).contiguous();
    const auto sums = torch::empty({pieces, 2 * channels});
    const ChannelSumsCall count{
        type_of(x.scalar_type()), channels, image.data_ptr(), pivot.data_ptr<float>()};
    base::parallel_ranges(
        pieces, std::max<int64_t>(1, grain / size), [&](int64_t begin, int64_t end) {
          for (int64_t piece = begin; piece < end; ++piece)
            kernels.channel_sums(count,
                                 piece * size,
                                 std::min(rows, (piece + 1) * size),
                                 sums.data_ptr<float>() + piece * 2 * channels);
        });
    finish_statistics(sums, pivot, rows, groups, weight, bias, epsilon, scale, shift);
    const ScaleChannelsCall apply{type_of(x.scalar_type()),
                                  type_of(y.scalar_type()),
                                  channels,
                                  silu,
                                  image.data_ptr(),
                                  scale.data_ptr<float>(),
                                  shift.data_ptr<float>(),
                                  y[i].data_ptr()};
    base::parallel_ranges(rows, grain, [&](int64_t begin, int64_t end) {
      kernels.scale_channels(apply, begin, end);
    });
  }
  return y;
}

bool PackedConv3x3::serves(const Tensor& weight) {
  constexpr int64_t kLeast = 64, kMultiple = 32;
  return weight.is_cpu() && weight.scalar_type() == torch::kFloat32 && weight.dim() == 4 &&
         weight.size(2) == 3 && weight.size(3) == 3 && weight.size(0) >= kLeast &&
         weight.size(1) >= kLeast && weight.size(0) % kMultiple == 0 &&
         weight.size(1) % kMultiple == 0;
}

PackedConv3x3::PackedConv3x3(const Tensor& weight)
    : kernels_(&active_image_kernels()), channels_(weight.size(1)), columns_(weight.size(0)) {
  TORCH_INTERNAL_ASSERT(serves(weight));
  const auto plain = weight.detach().contiguous();  // [out, in, 3, 3]
  packed_ = torch::empty({16 * columns_ * channels_});
  base::parallel_ranges(
      columns_ / kernels_->winograd_columns(), 1, [&](int64_t begin, int64_t end) {
        kernels_->winograd_pack(
            plain.data_ptr<float>(), columns_, channels_, begin, end, packed_.data_ptr<float>());
      });
}

Tensor image_conv3x3(const Tensor& x,
                     const PackedConv3x3& weight,
                     const Tensor& bias,
                     const Tensor& residual,
                     bool upsample) {
  const int64_t height = x.size(2) << upsample, width = x.size(3) << upsample;
  const auto y =
      torch::empty({x.size(0), weight.columns(), height, width}, torch::dtype(torch::kFloat32))
          .contiguous(torch::MemoryFormat::ChannelsLast);
  TORCH_INTERNAL_ASSERT(image_kernels_serve(x) && x.scalar_type() == torch::kFloat32 &&
                        x.size(1) == weight.channels());
  TORCH_INTERNAL_ASSERT(!residual.defined() ||
                        (image_kernels_serve(residual) && residual.sizes() == y.sizes() &&
                         residual.scalar_type() == torch::kFloat32));
  const auto& kernels = weight.kernels();
  for (int64_t i = 0; i < x.size(0); ++i) {
    const WinogradCall call{height,
                            width,
                            weight.channels(),
                            weight.columns(),
                            upsample,
                            x[i].data_ptr<float>(),
                            weight.data(),
                            bias.data_ptr<float>(),
                            residual.defined() ? residual[i].data_ptr<float>() : nullptr,
                            y[i].data_ptr<float>()};
    base::parallel_ranges(kernels.winograd_pieces(call), 1, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(static_cast<size_t>(kernels.winograd_scratch(call)));
      kernels.winograd(call, begin, end, scratch.data());
    });
  }
  return y;
}

}  // namespace uvic::model
