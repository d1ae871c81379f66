#include "metrics/inception_layers.h"

namespace uvic::metrics::inception {
namespace {

constexpr double kBatchNormEps = 1e-3;

/// Maximum of 0 and of each 3 x 3 window, stride 2, of [N, H, W, C] in memory. Numbers whose bits
/// order as those of signed integers where they are positive, as bfloat16's do, may come as such.
template <class Number>
void relu_max_pool(const Number* in, Number* out, at::IntArrayRef sizes) {
  const int64_t height = sizes[2], width = sizes[3], channels = sizes[1], row = width * channels;
  const auto larger = [](Number a, Number b) { return a > b ? a : b; };
  std::vector<Number> tallest(static_cast<size_t>(row));
  for (int64_t n = 0; n < sizes[0]; ++n, in += height * row)
    for (int64_t y = 0; y + 2 < height; y += 2) {
      const auto *first = in + y * row, *second = first + row, *third = second + row;
      for (int64_t i = 0; i < row; ++i)
        tallest[i] = larger(larger(first[i], second[i]), larger(third[i], Number(0)));
      for (int64_t x = 0; x + 2 < width; x += 2, out += channels) {
        const auto* at = &tallest[x * channels];
        for (int64_t c = 0; c < channels; ++c)
          out[c] = larger(larger(at[c], at[channels + c]), at[2 * channels + c]);
      }
    }
}

}  // namespace

Conv fold(const Weights& weights, const std::string& name, const Shape& shape) {
  const auto w =
      weights.get(name + ".conv.weight", {shape.out, shape.in, shape.height, shape.width});
  const auto bn = [&](const char* part) { return weights.get(name + ".bn." + part, {shape.out}); };
  const auto s = bn("weight") / (bn("running_var") + kBatchNormEps).sqrt();
  const auto as_used = torch::TensorOptions(weights.device).dtype(weights.dtype);
  Conv conv;
  conv.weight = (w * s.view({-1, 1, 1, 1})).to(as_used).contiguous(at::MemoryFormat::ChannelsLast);
  conv.bias = (bn("bias") - s * bn("running_mean")).to(as_used);
  conv.stride = {shape.stride, shape.stride};
  if (shape.pad)
    conv.padding = {shape.height / 2, shape.width / 2};
  else
    conv.padding = {0, 0};
  return conv;
}

Tensor average_pool(const Tensor& x) {
  return torch::avg_pool2d(x, 3, 1, 1, /*ceil_mode=*/false, /*count_include_pad=*/false);
}

Tensor relu_max_pool(const Tensor& x) {
  if (!x.is_cpu()) return torch::max_pool2d(x, 3, 2).relu_();
  const auto in = x.contiguous(at::MemoryFormat::ChannelsLast);
  auto out = torch::empty({x.size(0), x.size(1), (x.size(2) - 1) / 2, (x.size(3) - 1) / 2},
                          x.options().memory_format(at::MemoryFormat::ChannelsLast));
  if (x.scalar_type() == torch::kFloat32)
    relu_max_pool(in.data_ptr<float>(), out.data_ptr<float>(), in.sizes());
  else
    relu_max_pool(reinterpret_cast<const int16_t*>(in.data_ptr<at::BFloat16>()),
                  reinterpret_cast<int16_t*>(out.data_ptr<at::BFloat16>()),
                  in.sizes());
  return out;
}

}  // namespace uvic::metrics::inception
