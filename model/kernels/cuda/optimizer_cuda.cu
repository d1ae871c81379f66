#include "model/kernels/cuda/optimizer_cuda.h"

#include <math.h>

#include "model/kernels/cuda/cuda_block.cuh"

namespace uvic::model::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRounds = static_cast<int>(kAdamwElements) / (kThreads * 4);
constexpr float kLargestFloat = 3.402823466e38f;

UVIC_DEVICE bool at_sixteen_bytes(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

/// Four elements from x[i] on; 0 from index `count` on.
UVIC_DEVICE Four load_four(const float* x, int64_t i, int64_t count, bool whole) {
  if (whole && i + 4 <= count) return *reinterpret_cast<const Four*>(x + i);
  return {i < count ? x[i] : 0.f,
          i + 1 < count ? x[i + 1] : 0.f,
          i + 2 < count ? x[i + 2] : 0.f,
          i + 3 < count ? x[i + 3] : 0.f};
}
UVIC_DEVICE void store_four(float* x, int64_t i, int64_t count, bool whole, const Four& y) {
  if (whole && i + 4 <= count) {
    *reinterpret_cast<Four*>(x + i) = y;
    return;
  }
  if (i < count) x[i] = y.a;
  if (i + 1 < count) x[i + 1] = y.b;
  if (i + 2 < count) x[i + 2] = y.c;
  if (i + 3 < count) x[i + 3] = y.d;
}

/// The sum over the threads of the block, in thread 0, in a fixed order.
UVIC_DEVICE double sum_of_block(double x) {
  const int thread = thread_index();
  shared_store<double>(thread * 8, x);
  UVIC_UNROLL
  for (int half = kThreads / 2; half > 0; half /= 2) {
    sync_threads();
    if (thread < half)
      shared_store<double>(
          thread * 8, shared_load<double>(thread * 8) + shared_load<double>((thread + half) * 8));
  }
  sync_threads();
  return thread == 0 ? shared_load<double>(0) : 0;
}

UVIC_KERNEL(kThreads, 4) square_sum_kernel(const AdamwJob job) {
  const AdamwBlock share = job.blocks[block_index().x];
  const AdamwTensor tensor = job.tensors[share.tensor];
  float sum = 0;
  if (tensor.grad) {
    const bool whole = at_sixteen_bytes(tensor.grad);
    UVIC_UNROLL
    for (int round = 0; round < kRounds; ++round) {
      const int64_t i = share.begin + (round * kThreads + thread_index()) * 4;
      const Four g = load_four(tensor.grad, i, tensor.count, whole);
      sum += g.a * g.a + g.b * g.b + g.c * g.c + g.d * g.d;
    }
  }
  const double all = sum_of_block(sum);
  if (thread_index() == 0) job.partial_sums[block_index().x] = all;
}

UVIC_KERNEL(kThreads, 1) norm_kernel(const AdamwJob job) {
  double sum = 0;
  for (int64_t i = thread_index(); i < job.block_count; i += kThreads) sum += job.partial_sums[i];
  const double all = sum_of_block(sum);
  if (thread_index() > 0) return;
  const float norm = static_cast<float>(::sqrt(all)), clip = job.values->grad_clip;
  job.norm[0] = norm;
  job.norm[1] = clip > 0 && norm > clip ? clip / norm : 1.f;
}

struct Element {
  float param, mean, square, ema;
};

UVIC_DEVICE void step_element(
    const AdamwValues& values, bool has_grad, float factor, float grad, Element& x) {
  if (has_grad) {
    const float g = grad * factor;
    x.mean = x.mean * values.beta1 + g * values.rest1;
    x.square = x.square * values.beta2 + g * g * values.rest2;
    x.param = x.param * values.decay_factor -
              values.step_size * x.mean /
                  (root(x.square) * values.inverse_sqrt_correction2 + values.epsilon);
  }
  x.ema += values.ema_rest * (x.param - x.ema);
}

UVIC_KERNEL(kThreads, 4) adamw_kernel(const AdamwJob job) {
  const AdamwBlock share = job.blocks[block_index().x];
  const AdamwTensor tensor = job.tensors[share.tensor];
  const AdamwValues values = *job.values;
  const float factor = job.norm[1];
  if (!(job.norm[0] <= kLargestFloat)) return;
  const bool has_grad = tensor.grad != nullptr, has_ema = tensor.ema != nullptr;
  // A null pointer is a multiple of 16 too.
  const bool whole = at_sixteen_bytes(tensor.param) && at_sixteen_bytes(tensor.grad) &&
                     at_sixteen_bytes(tensor.mean) && at_sixteen_bytes(tensor.square) &&
                     at_sixteen_bytes(tensor.ema) && at_sixteen_bytes(tensor.narrow);
  const Four zero = {0, 0, 0, 0};
  for (int round = 0; round < kRounds; ++round) {
    const int64_t i = share.begin + (round * kThreads + thread_index()) * 4, n = tensor.count;
    if (i >= n) return;
    Four p = load_four(tensor.param, i, n, whole);
    const Four g = has_grad ? load_four(tensor.grad, i, n, whole) : zero;
    Four m = has_grad ? load_four(tensor.mean, i, n, whole) : zero;
    Four v = has_grad ? load_four(tensor.square, i, n, whole) : zero;
    Four e = has_ema ? load_four(tensor.ema, i, n, whole) : zero;
    Element x[4] = {
        {p.a, m.a, v.a, e.a}, {p.b, m.b, v.b, e.b}, {p.c, m.c, v.c, e.c}, {p.d, m.d, v.d, e.d}};
    step_element(values, has_grad, factor, g.a, x[0]);
    step_element(values, has_grad, factor, g.b, x[1]);
    step_element(values, has_grad, factor, g.c, x[2]);
    step_element(values, has_grad, factor, g.d, x[3]);
    p = {x[0].param, x[1].param, x[2].param, x[3].param};
    if (has_grad) {
      store_four(tensor.param, i, n, whole, p);
      store_four(tensor.mean, i, n, whole, {x[0].mean, x[1].mean, x[2].mean, x[3].mean});
      store_four(tensor.square, i, n, whole, {x[0].square, x[1].square, x[2].square, x[3].square});
    }
    if (has_ema) store_four(tensor.ema, i, n, whole, {x[0].ema, x[1].ema, x[2].ema, x[3].ema});
    if (!tensor.narrow) continue;
    const uint32_t low = Bf16::pack(p.a, p.b), high = Bf16::pack(p.c, p.d);
    if (whole && i + 4 <= n) {
      reinterpret_cast<uint32_t*>(tensor.narrow + i)[0] = low;
      reinterpret_cast<uint32_t*>(tensor.narrow + i)[1] = high;
    } else {
      tensor.narrow[i] = static_cast<uint16_t>(low);
      if (i + 1 < n) tensor.narrow[i + 1] = static_cast<uint16_t>(low >> 16);
      if (i + 2 < n) tensor.narrow[i + 2] = static_cast<uint16_t>(high);
      if (i + 3 < n) tensor.narrow[i + 3] = static_cast<uint16_t>(high >> 16);
    }
  }
}

}  // namespace

std::vector<AdamwBlock> adamw_blocks(const std::vector<AdamwTensor>& tensors) {
  std::vector<AdamwBlock> blocks;
  for (size_t t = 0; t < tensors.size(); ++t)
    for (int64_t begin = 0; begin < tensors[t].count; begin += kAdamwElements)
      blocks.push_back({static_cast<int64_t>(t), begin});
  return blocks;
}

AdamwValues adamw_values(double lr,
                         double beta1,
                         double beta2,
                         double epsilon,
                         double weight_decay,
                         double grad_clip,
                         double ema_decay,
                         int64_t step) {
  const auto t = static_cast<double>(step);
  AdamwValues values{};
  values.decay_factor = static_cast<float>(1 - lr * weight_decay);
  values.beta1 = static_cast<float>(beta1);
  values.rest1 = static_cast<float>(1 - beta1);
  values.beta2 = static_cast<float>(beta2);
  values.rest2 = static_cast<float>(1 - beta2);
  values.step_size = static_cast<float>(lr / (1 - ::pow(beta1, t)));
  values.inverse_sqrt_correction2 = static_cast<float>(1 / ::sqrt(1 - ::pow(beta2, t)));
  values.epsilon = static_cast<float>(epsilon);
  values.ema_rest = static_cast<float>(1 - ema_decay);
  values.grad_clip = static_cast<float>(grad_clip);
  return values;
}

void gradient_norm(const AdamwJob& job, void* stream) {
  launch(square_sum_kernel, Grid{job.block_count, 1, 1}, kThreads, kThreads * 8, stream, job);
  launch(norm_kernel, Grid{1, 1, 1}, kThreads, kThreads * 8, stream, job);
}

void adamw_ema(const AdamwJob& job, void* stream) {
  launch(adamw_kernel, Grid{job.block_count, 1, 1}, kThreads, 0, stream, job);
}

}  // namespace uvic::model::cuda
