#include "model/kernels/cpu/row_kernels.h"

#include <algorithm>

#include "base/parallel.h"
#include "model/kernels/cpu/element_type.h"
#include "model/kernels/cpu/kernel_record.h"
#include "model/kernels/cpu/kernel_table.h"

namespace uvic::model {
namespace {

using torch::Tensor;

constexpr int64_t kElementsPerThread =
    32768;  // below this, a second thread costs more than it saves
constexpr int64_t kMostPieces = 64;
constexpr int64_t kLeastRows = 32;

void* elements(const Tensor& x) { return x.defined() ? x.data_ptr() : nullptr; }

int64_t width_of(const Tensor& x) {
  TORCH_INTERNAL_ASSERT(x.is_contiguous() && x.is_cpu());
  return x.size(-1);
}
int64_t rows_of(const Tensor& x) { return x.size(-1) ? x.numel() / x.size(-1) : 0; }

/// Memory that a pass over tensors touches.
template <class... Tensors>
KernelWork pass_over(const Tensors&... tensors) {
  return {0, ((tensors.defined() ? static_cast<double>(tensors.nbytes()) : 0.0) + ...)};
}

template <class F>
void over_rows(int64_t rows, int64_t width, F&& f) {
  base::parallel_ranges(
      rows, std::max<int64_t>(1, kElementsPerThread / std::max<int64_t>(width, 1)), f);
}

/// Calls f(begin, end, sums) for pieces of the rows, with `columns` sums each. Adds the sums in the
/// order of the pieces.
template <class F>
Tensor with_column_sums(int64_t rows, int64_t width, int64_t columns, F&& f) {
  const int64_t size = std::max(kLeastRows, (rows + kMostPieces - 1) / kMostPieces);
  const int64_t pieces = (rows + size - 1) / size;
  const auto partial = torch::empty({std::max<int64_t>(pieces, 1), columns}, torch::kFloat32);
  auto* sums = partial.data_ptr<float>();
  if (pieces == 0) std::fill_n(sums, columns, 0.f);
  base::parallel_ranges(
      pieces,
      std::max<int64_t>(1, kElementsPerThread / std::max<int64_t>(size * width, 1)),
      [&](int64_t b, int64_t e) {
        for (int64_t i = b; i < e; ++i)
          f(i * size, std::min(rows, (i + 1) * size), sums + i * columns);
      });
  add_pieces(sums, pieces, columns);
  return partial[0];
}

}  // namespace

void add_pieces(float* sums, int64_t pieces, int64_t columns) {
  for (int64_t i = 1; i < pieces; ++i)
    for (int64_t c = 0; c < columns; ++c) sums[c] += sums[i * columns + c];
}

Normalized norm_rows(const Tensor& x, const Norm& norm, torch::Dtype dtype) {
  const int64_t rows = rows_of(x);
  Normalized result{torch::empty(x.sizes(), dtype), torch::empty({rows, 2}, torch::kFloat32)};
  UVIC_KERNEL("norm", pass_over(x, result.y));
  NormCall call{};
  call.type = type_of(dtype);
  call.width = width_of(x);
  call.epsilon = static_cast<float>(norm.epsilon);
  call.x = floats(x);
  call.weight = floats(norm.weight);
  call.shift = floats(norm.shift);
  call.y = elements(result.y);
  call.row_stats = result.stats.data_ptr<float>();
  over_rows(rows, call.width, [&](int64_t b, int64_t e) { active_kernels().norm(call, b, e); });
  return result;
}

ResidualNormalized add_and_norm_rows(const Tensor& x,
                                     const Tensor& delta,
                                     const Tensor& bias,
                                     const Norm& norm) {
  const int64_t rows = rows_of(delta);
  ResidualNormalized result{torch::empty(delta.sizes(), torch::kFloat32),
                            {torch::empty_like(delta), torch::empty({rows, 2}, torch::kFloat32)}};
  UVIC_KERNEL("add_and_norm", pass_over(x, delta, result.sum, result.normalized.y));
  NormCall call{};
  call.type = type_of(delta.scalar_type());
  call.width = width_of(delta);
  call.epsilon = static_cast<float>(norm.epsilon);
  call.x = floats(x);
  call.delta = elements(delta);
  call.bias = floats(bias);
  call.sum = result.sum.data_ptr<float>();
  call.weight = floats(norm.weight);
  call.shift = floats(norm.shift);
  call.y = elements(result.normalized.y);
  call.row_stats = result.normalized.stats.data_ptr<float>();
  over_rows(rows, call.width, [&](int64_t b, int64_t e) { active_kernels().norm(call, b, e); });
  return result;
}

Tensor add_rows(const Tensor& x, const Tensor& delta, const Tensor& bias) {
  const auto sum = torch::empty(delta.sizes(), torch::kFloat32);
  UVIC_KERNEL("add", pass_over(x, delta, sum));
  NormCall call{};
  call.type = type_of(delta.scalar_type());
  call.width = width_of(delta);
  call.x = floats(x);
  call.delta = elements(delta);
  call.bias = floats(bias);
  call.sum = sum.data_ptr<float>();
  over_rows(
      rows_of(delta), call.width, [&](int64_t b, int64_t e) { active_kernels().norm(call, b, e); });
  return sum;
}

NormGrads norm_rows_grad(
    const Tensor& dy, const Tensor& x, const Tensor& stats, const Norm& norm, const Tensor& dx_in) {
  NormGrads grads;
  grads.dx = torch::empty(x.sizes(), torch::kFloat32);
  grads.dx_narrow =
      dy.scalar_type() == torch::kFloat32 ? grads.dx : torch::empty(x.sizes(), dy.options());
  UVIC_KERNEL("norm_grad", pass_over(dy, x, dx_in, grads.dx, grads.dx_narrow));
  NormGradCall call{};
  call.type = type_of(dy.scalar_type());
  call.rms = !norm.shift.defined();
  call.width = width_of(dy);
  call.dy = elements(dy);
  call.x = floats(x);
  call.row_stats = floats(stats);
  call.weight = floats(norm.weight);
  call.dx_in = floats(dx_in);
  call.dx = grads.dx.data_ptr<float>();
  call.dx_narrow = call.type == ElementType::f32 ? nullptr : elements(grads.dx_narrow);
  const auto sums = with_column_sums(
      rows_of(x), call.width, 3 * call.width, [&](int64_t b, int64_t e, float* columns) {
        active_kernels().norm_grad(call, b, e, columns);
      });
  const auto parts = sums.view({3, call.width});
  grads.weight = parts[0], grads.dx_columns = parts[2];
  if (!call.rms) grads.shift = parts[1];
  return grads;
}

Tensor gelu_rows(const Tensor& u, const Tensor& bias) {
  const auto a = torch::empty_like(u);
  UVIC_KERNEL("gelu", pass_over(u, a));
  GeluCall call{type_of(u.scalar_type()), width_of(u), elements(u), floats(bias), elements(a)};
  over_rows(
      rows_of(u), call.width, [&](int64_t b, int64_t e) { active_kernels().gelu(call, b, e); });
  return a;
}

GeluGrads gelu_rows_grad(const Tensor& u, const Tensor& bias, Tensor da) {
  const auto a = torch::empty_like(u);
  UVIC_KERNEL("gelu_grad", pass_over(u, da, da, a));
  GeluGradCall call{type_of(u.scalar_type()),
                    width_of(u),
                    elements(u),
                    floats(bias),
                    elements(da),
                    elements(da),
                    elements(a)};
  const auto sums = with_column_sums(
      rows_of(u), call.width, call.width, [&](int64_t b, int64_t e, float* columns) {
        active_kernels().gelu_grad(call, b, e, columns);
      });
  return {da, sums, a};
}

Tensor swiglu_rows(const Tensor& z) {
  auto sizes = z.sizes().vec();
  sizes.back() /= 2;
  const auto h = torch::empty(sizes, z.options());
  UVIC_KERNEL("swiglu", pass_over(z, h));
  const SwigluCall call{type_of(z.scalar_type()), width_of(h), elements(z), elements(h)};
  over_rows(
      rows_of(h), call.width, [&](int64_t b, int64_t e) { active_kernels().swiglu(call, b, e); });
  return h;
}

GeluGrads swiglu_rows_grad(const Tensor& z, Tensor dh) {
  const auto dz = torch::empty_like(z);
  UVIC_KERNEL("swiglu_grad", pass_over(z, dz, dh, dh));
  const SwigluGradCall call{type_of(z.scalar_type()),
                            width_of(dh),
                            elements(z),
                            elements(dh),
                            elements(dz),
                            elements(dh)};
  const auto sums = with_column_sums(
      rows_of(dh), 2 * call.width, 2 * call.width, [&](int64_t b, int64_t e, float* columns) {
        active_kernels().swiglu_grad(call, b, e, columns);
      });
  return {dz, sums, dh};
}

namespace {

PlaceHeadsCall place_heads_call(const Tensor& qkv, const HeadPlacing& placing) {
  PlaceHeadsCall call{};
  call.type = type_of(qkv.scalar_type());
  call.heads = placing.heads;
  call.width = width_of(qkv) / (3 * placing.heads);
  call.epsilon = static_cast<float>(placing.epsilon);
  call.q_weight = floats(placing.q_weight), call.k_weight = floats(placing.k_weight);
  call.cos = floats(placing.cos), call.sin = floats(placing.sin);
  call.places = placing.cos.defined() ? placing.cos.size(0) : 1;
  return call;
}

}  // namespace

Tensor place_heads(const Tensor& qkv, const HeadPlacing& placing, bool in_place) {
  const auto out = in_place ? qkv : torch::empty_like(qkv);
  UVIC_KERNEL("place_heads", pass_over(qkv, out));
  auto call = place_heads_call(qkv, placing);
  call.qkv = elements(qkv), call.out = elements(out);
  over_rows(rows_of(qkv), width_of(qkv), [&](int64_t b, int64_t e) {
    active_kernels().place_heads(call, b, e);
  });
  return out;
}

HeadPlacingGrads place_heads_grad(const Tensor& qkv, const HeadPlacing& placing, Tensor d) {
  UVIC_KERNEL("place_heads_grad", pass_over(qkv, d, d));
  PlaceHeadsGradCall call{place_heads_call(d, placing), elements(d)};
  call.forward.qkv = elements(qkv);
  const auto sums = with_column_sums(
      rows_of(d), width_of(d), 2 * call.forward.width, [&](int64_t b, int64_t e, float* columns) {
        active_kernels().place_heads_grad(call, b, e, columns);
      });
  HeadPlacingGrads grads{std::move(d), {}, {}};
  if (!placing.q_weight.defined()) return grads;
  const auto parts = sums.view({2, call.forward.width});
  grads.q_weight = parts[0], grads.k_weight = parts[1];
  return grads;
}

Narrowed narrow_rows(const Tensor& x, torch::Dtype dtype) {
  const int64_t width = width_of(x);
  const auto y = dtype == torch::kFloat32 ? x : torch::empty(x.sizes(), dtype);
  UVIC_KERNEL("narrow", pass_over(x, y));
  const NarrowCall call{
      type_of(dtype), width, floats(x), dtype == torch::kFloat32 ? nullptr : elements(y)};
  const auto sums =
      with_column_sums(rows_of(x), width, width, [&](int64_t b, int64_t e, float* columns) {
        active_kernels().narrow(call, b, e, columns);
      });
  return {y, sums};
}

Tensor cast_rows(const Tensor& x, torch::Dtype dtype) {
  if (x.scalar_type() == dtype) return x;
  const int64_t width = width_of(x);
  const auto y = torch::empty(x.sizes(), dtype);
  UVIC_KERNEL("cast", pass_over(x, y));
  const NarrowCall call{type_of(dtype), width, floats(x), elements(y)};
  over_rows(rows_of(x), width, [&](int64_t begin, int64_t end) {
    active_kernels().narrow(call, begin, end, nullptr);
  });
  return y;
}

}  // namespace uvic::model
