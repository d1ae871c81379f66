#include "model/kernels/cpu/optimizer_kernels.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/parallel.h"
#include "model/kernels/cpu/kernel_record.h"
#include "model/kernels/cpu/kernel_table.h"
#include "model/kernels/cpu/product_kernels.h"

namespace uvic::model {
namespace {

using torch::Tensor;

constexpr int64_t kPiece = 16384;  // elements per task of a thread

/// A piece of one tensor.
struct Piece {
  size_t tensor;
  int64_t begin, end;
};

template <class Sizes>
std::vector<Piece> pieces(size_t tensors, Sizes&& size) {
  std::vector<Piece> all;
  for (size_t i = 0; i < tensors; ++i)
    for (int64_t begin = 0, n = size(i); begin < n; begin += kPiece)
      all.push_back({i, begin, std::min(n, begin + kPiece)});
  return all;
}

void check(const Tensor& x, const Tensor& param, torch::Dtype dtype, const char* name) {
  if (x.is_cpu() && x.is_contiguous() && x.scalar_type() == dtype && x.sizes() == param.sizes())
    return;
  throw std::invalid_argument(fmt::format(
      "fused_adamw_ema: {} is {} {} with {} elements, the parameter has {}; give contiguous {} "
      "tensors of its shape on the CPU",
      name,
      c10::toString(x.scalar_type()),
      x.device().str(),
      x.numel(),
      param.numel(),
      c10::toString(dtype)));
}

}  // namespace

void fused_adamw_ema(const std::vector<AdamwTensors>& tensors, const AdamwStep& step) {
  TORCH_INTERNAL_ASSERT(!packed_weights_kept(), "weights change while they are kept repacked");
  const double correction1 = 1 - std::pow(step.beta1, static_cast<double>(step.step));
  const double correction2 = 1 - std::pow(step.beta2, static_cast<double>(step.step));
  double elements = 0;  // each parameter, gradient, two averages and their mean: 9 floats moved
  for (const auto& t : tensors) elements += static_cast<double>(t.param.numel());
  UVIC_KERNEL("adamw_ema", KernelWork{0, elements * 9 * sizeof(float)});
  std::vector<AdamwCall> calls;
  for (const auto& t : tensors) {
    check(t.param, t.param, torch::kFloat32, "param");
    AdamwCall call{};
    if (t.grad.defined()) {
      for (const auto& [x, name] :
           {std::pair(&t.grad, "grad"), {&t.mean, "mean"}, {&t.square, "square"}})
        check(*x, t.param, torch::kFloat32, name);
      call.grad = t.grad.data_ptr<float>();
      call.mean = t.mean.data_ptr<float>();
      call.square = t.square.data_ptr<float>();
    }
    if (t.ema.defined()) check(t.ema, t.param, torch::kFloat32, "ema");
    if (t.narrow.defined()) check(t.narrow, t.param, torch::kBFloat16, "narrow");
    call.param = t.param.data_ptr<float>();
    call.ema = t.ema.defined() ? t.ema.data_ptr<float>() : nullptr;
    call.narrow = t.narrow.defined() ? static_cast<uint16_t*>(t.narrow.data_ptr()) : nullptr;
    call.grad_factor = static_cast<float>(step.grad_factor);
    call.decay_factor = static_cast<float>(1 - step.lr * step.weight_decay);
    call.beta1 = static_cast<float>(step.beta1);
    call.rest1 = static_cast<float>(1 - step.beta1);
    call.beta2 = static_cast<float>(step.beta2);
    call.rest2 = static_cast<float>(1 - step.beta2);
    call.step_size = static_cast<float>(step.lr / correction1);
    call.inverse_sqrt_correction2 = static_cast<float>(1 / std::sqrt(correction2));
    call.epsilon = static_cast<float>(step.epsilon);
    call.ema_rest = static_cast<float>(1 - step.ema_decay);
    calls.push_back(call);
  }
  const auto work = pieces(tensors.size(), [&](size_t i) { return tensors[i].param.numel(); });
  base::parallel_ranges(static_cast<int64_t>(work.size()), 2, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      active_kernels().adamw(calls[work[i].tensor], work[i].begin, work[i].end);
  });
}

double gradient_norm(const std::vector<Tensor>& grads) {
  std::vector<const float*> data;
  for (const auto& grad : grads) {
    if (grad.defined() &&
        !(grad.is_cpu() && grad.is_contiguous() && grad.scalar_type() == torch::kFloat32))
      throw std::invalid_argument("gradient_norm: gradients must be contiguous float32 on the CPU");
    data.push_back(grad.defined() ? grad.data_ptr<float>() : nullptr);
  }
  double elements = 0;
  for (const auto& grad : grads) elements += grad.defined() ? static_cast<double>(grad.numel()) : 0;
  UVIC_KERNEL("gradient_norm", KernelWork{2 * elements, elements * sizeof(float)});
  const auto work =
      pieces(grads.size(), [&](size_t i) { return grads[i].defined() ? grads[i].numel() : 0; });
  std::vector<double> squares(work.size());
  base::parallel_ranges(static_cast<int64_t>(work.size()), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      squares[i] = active_kernels().sum_of_squares(data[work[i].tensor] + work[i].begin,
                                                   work[i].end - work[i].begin);
  });
  double total = 0;
  for (const double s : squares) total += s;
  return std::sqrt(total);
}

}  // namespace uvic::model
