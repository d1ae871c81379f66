// Passes over the places of an image, channels last: sums of channels, and GroupNorm's scale and
// shift with SiLU. Included by image_isa_*.cpp only.
#pragma once

#include "model/kernels/cpu/image_table.h"
#include "model/kernels/cpu/simd.h"

namespace uvic::model::UVIC_ISA {

template <class T>
static void channel_sums_of(const ChannelSumsCall& call, int64_t begin, int64_t end, float* sums) {
  constexpr int64_t kRows = 16;  // summed in registers before memory is touched
  const auto* x = static_cast<const T*>(call.x);
  const int64_t channels = call.channels;
  for (int64_t c = 0; c < 2 * channels; ++c) sums[c] = 0;
  for (int64_t row = begin; row < end; row += kRows) {
    const int64_t rows = end - row < kRows ? end - row : kRows;
    for_each_vector(channels, [&](int64_t c, int64_t lanes) {
      const Vec pivot = load_lanes(call.pivot + c, lanes);
      Vec sum = load_lanes(sums + c, lanes), squares = load_lanes(sums + channels + c, lanes);
      for (int64_t r = 0; r < rows; ++r) {
        const Vec d = load_lanes(x + (row + r) * channels + c, lanes) - pivot;
        sum += d;
        squares += d * d;
      }
      store_lanes(sums + c, sum, lanes);
      store_lanes(sums + channels + c, squares, lanes);
    });
  }
}

static void channel_sums(const ChannelSumsCall& call, int64_t begin, int64_t end, float* sums) {
  if (call.type == ElementType::bf16)
    channel_sums_of<uint16_t>(call, begin, end, sums);
  else
    channel_sums_of<float>(call, begin, end, sums);
}

/// v / (1 + e^-v); the exponent is kept where exp2 and 1 + e^-v are finite.
UVIC_INLINE Vec silu_of(Vec v) { return v / (exp2(min(v * -1.44269504f, splat(126.f))) + 1.f); }

template <class T, class Out, bool silu>
static void scale_channels_of(const ScaleChannelsCall& call, int64_t begin, int64_t end) {
  const auto* x = static_cast<const T*>(call.x);
  auto* y = static_cast<Out*>(call.y);
  const int64_t channels = call.channels;
  for (int64_t row = begin; row < end; ++row)
    for_each_vector(channels, [&](int64_t c, int64_t lanes) {
      Vec v = load_lanes(x + row * channels + c, lanes) * load_lanes(call.scale + c, lanes) +
              load_lanes(call.shift + c, lanes);
      if (silu) v = silu_of(v);
      store_lanes(y + row * channels + c, v, lanes);
    });
}

template <class T, class Out>
static void scale_channels_to(const ScaleChannelsCall& call, int64_t begin, int64_t end) {
  if (call.silu)
    scale_channels_of<T, Out, true>(call, begin, end);
  else
    scale_channels_of<T, Out, false>(call, begin, end);
}

static void scale_channels(const ScaleChannelsCall& call, int64_t begin, int64_t end) {
  const bool narrow_in = call.type == ElementType::bf16,
             narrow_out = call.out_type == ElementType::bf16;
  if (narrow_in && narrow_out)
    scale_channels_to<uint16_t, uint16_t>(call, begin, end);
  else if (narrow_in)
    scale_channels_to<uint16_t, float>(call, begin, end);
  else if (narrow_out)
    scale_channels_to<float, uint16_t>(call, begin, end);
  else
    scale_channels_to<float, float>(call, begin, end);
}

}  // namespace uvic::model::UVIC_ISA
