#include "model/kernels/cpu/product_kernels.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <tuple>

#include "base/cpu.h"
#include "base/parallel.h"
#include "model/kernels/cpu/element_type.h"
#include "model/kernels/cpu/isa.h"
#include "model/kernels/cpu/kernel_record.h"
#include "model/kernels/cpu/kernel_table.h"
#include "model/kernels/cpu/scratch_memory.h"

namespace uvic::model {
namespace {

using torch::Tensor;

std::atomic<ProductSource> g_source{ProductSource::fastest};

bool from_library(torch::Dtype dtype) {
  const auto source = g_source.load(std::memory_order_relaxed);
  if (source != ProductSource::fastest) return source == ProductSource::library;
  const Isa isa = active_isa();
  return isa == Isa::portable ||
         (dtype == torch::kBFloat16 && base::cpu_has_amx_bf16() && isa <= Isa::avx512_bf16);
}

Tensor flat(const Tensor& x) { return x.reshape({-1, x.size(-1)}); }

std::vector<int64_t> with_width(const Tensor& x, int64_t width) {
  auto sizes = x.sizes().vec();
  sizes.back() = width;
  return sizes;
}

double bytes_of(const Tensor& x) { return x.defined() ? static_cast<double>(x.nbytes()) : 0; }

/// y = x w^T or dy w, `y_bytes` written.
KernelWork product_work(const Tensor& x, const Tensor& weight, double y_bytes) {
  const auto rows =
      static_cast<double>(x.numel()) / static_cast<double>(std::max<int64_t>(1, x.size(-1)));
  return {2 * rows * static_cast<double>(weight.numel()), bytes_of(x) + bytes_of(weight) + y_bytes};
}
/// As many elements as there are rows of x times `width`, `bytes` each.
double rows_bytes(const Tensor& x, int64_t width, double bytes) {
  return static_cast<double>(x.numel()) / static_cast<double>(std::max<int64_t>(1, x.size(-1))) *
         static_cast<double>(width) * bytes;
}

/// The right factor of a product: its weight repacked, [inner, columns].
struct Packed {
  Tensor data;
  int64_t inner, columns;
};

/// b = w^T (forward) or w (backward).
Packed pack_anew(const Tensor& weight, bool forward, torch::Dtype dtype) {
  const int64_t out = weight.size(0), in = weight.size(1);
  UVIC_KERNEL("pack_weight",
              KernelWork{0, bytes_of(weight) * (dtype == torch::kFloat32 ? 2 : 1.5)});
  const Tensor w = weight.stride(1) == 1 ? weight : weight.contiguous();
  const int64_t row = w.stride(0);
  PackCall call{};
  call.type = type_of(dtype);
  call.inner = forward ? in : out;
  call.columns = forward ? out : in;
  call.weight = floats(w);
  call.inner_stride = forward ? 1 : row;
  call.column_stride = forward ? row : 1;
  const auto& kernels = active_kernels();
  const Packed packed{
      torch::empty({kernels.packed_floats(call.type, call.inner, call.columns)}, torch::kFloat32),
      call.inner,
      call.columns};
  call.packed = packed.data.data_ptr<float>();
  base::parallel_ranges(kernels.pack_groups(call.columns), 1, [&](int64_t begin, int64_t end) {
    kernels.pack_weight(call, begin, end);
  });
  return packed;
}

/// The storage of KeepPackedWeights.
class PackedWeights {
 public:
  void keep(int more) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if ((keepers_ += more) == 0) kept_.clear();
  }
  Packed of(const Tensor& weight, torch::Dtype dtype) {
    const Key key{
        weight.data_ptr(), weight.size(0), weight.size(1), weight.stride(0), dtype, active_isa()};
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto found = kept_.find(key);
      if (found != kept_.end()) return found->second;
    }
    // Two threads may pack the same weight at the same time, with the same result. Neither waits.
    const auto packed = pack_anew(weight, /*forward=*/true, dtype);
    const std::lock_guard<std::mutex> lock(mutex_);
    return keepers_ > 0 ? kept_.emplace(key, packed).first->second : packed;
  }
  bool keeps() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return keepers_ > 0;
  }

 private:
  using Key = std::tuple<const void*, int64_t, int64_t, int64_t, torch::Dtype, Isa>;
  std::mutex mutex_;
  std::map<Key, Packed> kept_;
  int keepers_ = 0;
};

PackedWeights& packed_weights() {
  static PackedWeights weights;
  return weights;
}

Packed pack(const Tensor& weight, bool forward, torch::Dtype dtype) {
  if (forward && packed_weights().keeps()) return packed_weights().of(weight, dtype);
  return pack_anew(weight, forward, dtype);
}

ProductCall make_call(ProductEnd end, const Tensor& x, const Packed& b) {
  TORCH_INTERNAL_ASSERT(x.is_contiguous() && x.is_cpu() && x.size(-1) == b.inner);
  ProductCall call{};
  call.type = type_of(x.scalar_type());
  call.end = end;
  call.rows = x.numel() / b.inner;
  call.inner = b.inner;
  call.columns = b.columns;
  call.x = x.data_ptr();
  call.packed = b.data.data_ptr<float>();
  return call;
}

void run(const ProductCall& call) {
  const auto& kernels = active_kernels();
  base::parallel_ranges(kernels.product_tasks(call), 1, [&](int64_t begin, int64_t end) {
    kernels.product(call, begin, end, thread_scratch(kernels.product_scratch(call)));
  });
}

/// x w^T, or dy w, from LibTorch.
Tensor library_product(const Tensor& x, const Tensor& weight, bool forward) {
  const auto w = weight.to(x.scalar_type());
  return flat(x).mm(forward ? w.t() : w).view(with_width(x, forward ? w.size(0) : w.size(1)));
}

}  // namespace

bool packed_weights_kept() { return packed_weights().keeps(); }

KeepPackedWeights::KeepPackedWeights() { packed_weights().keep(1); }
KeepPackedWeights::~KeepPackedWeights() { packed_weights().keep(-1); }

void use_products(ProductSource source) { g_source.store(source, std::memory_order_relaxed); }

bool products_keep_rows_apart(torch::Dtype dtype) {
  return (dtype == torch::kFloat32 && !from_library(dtype)) || dtype == torch::kBFloat16;
}

Tensor product_rows(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  UVIC_KERNEL("product", product_work(x, weight, rows_bytes(x, weight.size(0), x.element_size())));
  if (from_library(x.scalar_type())) {
    const auto y = library_product(x, weight, true);
    return bias.defined() ? add_rows({}, y, bias).to(y.scalar_type()) : y;
  }
  const auto y = torch::empty(with_width(x, weight.size(0)), x.options());
  const auto packed = pack(weight, true, x.scalar_type());
  auto call = make_call(ProductEnd::store, x, packed);
  call.bias = floats(bias);
  call.y = y.data_ptr();
  run(call);
  return y;
}

Tensor product_add_rows(const Tensor& residual,
                        const Tensor& x,
                        const Tensor& weight,
                        const Tensor& bias) {
  UVIC_KERNEL("product_add",
              product_work(x, weight, rows_bytes(x, weight.size(0), residual.defined() ? 8 : 4)));
  if (from_library(x.scalar_type()))
    return add_rows(residual, library_product(x, weight, true), bias);
  const auto sum = torch::empty(with_width(x, weight.size(0)), torch::kFloat32);
  const auto packed = pack(weight, true, x.scalar_type());
  auto call = make_call(ProductEnd::add, x, packed);
  call.bias = floats(bias);
  call.residual = floats(residual);
  call.sum = sum.data_ptr<float>();
  run(call);
  return sum;
}

GeluRows product_gelu_rows(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  UVIC_KERNEL("product_gelu",
              product_work(x, weight, rows_bytes(x, weight.size(0), 2 * x.element_size())));
  if (from_library(x.scalar_type())) {
    const auto z = product_rows(x, weight, bias);
    return {z, gelu_rows(z, {})};
  }
  const auto z = torch::empty(with_width(x, weight.size(0)), x.options());
  const auto activated = torch::empty_like(z);
  const auto packed = pack(weight, true, x.scalar_type());
  auto call = make_call(ProductEnd::gelu, x, packed);
  call.bias = floats(bias);
  call.y = activated.data_ptr();
  call.z = z.data_ptr();
  run(call);
  return {z, activated};
}

Tensor product_grad(const Tensor& dy, const Tensor& weight, bool wide) {
  UVIC_KERNEL(
      "product_grad",
      product_work(dy, weight, rows_bytes(dy, weight.size(1), wide ? 4 : dy.element_size())));
  if (from_library(dy.scalar_type())) {
    const auto dx = library_product(dy, weight, false);
    return wide ? dx.to(torch::kFloat32) : dx;
  }
  const auto dx = torch::empty(with_width(dy, weight.size(1)),
                               wide ? dy.options().dtype(torch::kFloat32) : dy.options());
  const auto packed = pack(weight, false, dy.scalar_type());
  auto call = make_call(wide ? ProductEnd::add : ProductEnd::store, dy, packed);
  if (wide)
    call.sum = dx.data_ptr<float>();
  else
    call.y = dx.data_ptr();
  run(call);
  return dx;
}

namespace {

/// The product dy w, which ends in the gradient of an activation at z; `activated` has the width of
/// the product.
GeluGrads activation_grad(ProductEnd end, const Tensor& dy, const Tensor& weight, const Tensor& z) {
  const auto du = torch::empty_like(z),
             activated = torch::empty(with_width(dy, weight.size(1)), dy.options());
  const auto packed = pack(weight, false, dy.scalar_type());
  auto call = make_call(end, dy, packed);
  const int64_t blocks = active_kernels().product_row_blocks(call.rows);
  const auto sums = torch::empty({std::max<int64_t>(blocks, 1), z.size(-1)}, torch::kFloat32);
  if (blocks == 0) sums.zero_();
  call.y = du.data_ptr();
  call.z = z.data_ptr();
  call.activated = activated.data_ptr();
  call.column_sums = sums.data_ptr<float>();
  run(call);
  add_pieces(call.column_sums, blocks, z.size(-1));
  return {du, sums[0], activated};
}

}  // namespace

GeluGrads product_gelu_grad(const Tensor& dy, const Tensor& weight, const Tensor& z) {
  UVIC_KERNEL("product_gelu_grad",
              product_work(dy, weight, rows_bytes(dy, weight.size(1), 3 * dy.element_size())));
  if (from_library(dy.scalar_type()))
    return gelu_rows_grad(z, {}, library_product(dy, weight, false));
  return activation_grad(ProductEnd::gelu_grad, dy, weight, z);
}

GeluGrads product_swiglu_grad(const Tensor& dy, const Tensor& weight, const Tensor& z) {
  UVIC_KERNEL("product_swiglu_grad",
              product_work(dy, weight, rows_bytes(dy, weight.size(1), 5 * dy.element_size())));
  if (from_library(dy.scalar_type()))
    return swiglu_rows_grad(z, library_product(dy, weight, false));
  return activation_grad(ProductEnd::swiglu_grad, dy, weight, z);
}

Tensor product_weight_grad(const Tensor& dy, const Tensor& x) {
  UVIC_KERNEL(
      "weight_grad",
      KernelWork{2 * static_cast<double>(dy.numel()) * static_cast<double>(x.size(-1)),
                 bytes_of(dy) + bytes_of(x) + 4 * static_cast<double>(dy.size(-1) * x.size(-1))});
  if (from_library(dy.scalar_type())) return flat(dy).t().mm(flat(x)).to(torch::kFloat32);
  TORCH_INTERNAL_ASSERT(dy.is_contiguous() && x.is_contiguous() &&
                        dy.scalar_type() == x.scalar_type());
  WeightGradCall call{};
  call.type = type_of(dy.scalar_type());
  call.outputs = dy.size(-1);
  call.inputs = x.size(-1);
  call.rows = dy.numel() / call.outputs;
  call.dy = dy.data_ptr();
  call.x = x.data_ptr();
  if (call.rows == 0) return torch::zeros({call.outputs, call.inputs}, torch::kFloat32);
  const auto dw = torch::empty({call.outputs, call.inputs}, torch::kFloat32);
  call.dw = dw.data_ptr<float>();
  const auto& kernels = active_kernels();
  base::parallel_ranges(kernels.weight_grad_parts(call), 1, [&](int64_t begin, int64_t end) {
    kernels.weight_grad(
        call, begin, end, thread_scratch(kernels.weight_grad_scratch(call, end - begin)));
  });
  return dw;
}

}  // namespace uvic::model
