#include "model/kernels/cuda/attention_cuda_binding.h"

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <fmt/format.h>

#include <stdexcept>

#include "model/kernels/cuda/attention_cuda.h"

namespace uvic::model {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kAlignedElements = 8;   // 16 bytes
constexpr int64_t kMostStride = 1 << 23;  // elements from token to token, below it

/// x [B, H, L, D] in a layout that the kernels can read; a copy only if necessary.
Tensor aligned_rows(const Tensor& x) {
  const bool good = (x.stride(3) == 1 || x.size(3) == 1) &&
                    reinterpret_cast<uintptr_t>(x.data_ptr()) % 16 == 0 &&
                    x.stride(0) % kAlignedElements == 0 && x.stride(1) % kAlignedElements == 0 &&
                    x.stride(2) % kAlignedElements == 0 && x.stride(2) < kMostStride;
  return good ? x : x.contiguous();
}

template <class T>
TokenRows<T> rows(const Tensor& x) {
  return {x.data_ptr(), x.stride(0), x.stride(1), x.stride(2)};
}

/// Views of the tensors that the forward pass saved, each [B, H, L, D].
struct Heads {
  Tensor q, k, v;
};

/// What a call computes.
struct Weighting {
  ScoreKind kind;
  double scale;
  bool causal = false;
};

cuda::AttentionForward make_call(const Weighting& how,
                                 const Heads& in,
                                 const Tensor& out,
                                 const Tensor& stats) {
  cuda::AttentionForward call{};
  call.kind = how.kind;
  call.type = in.q.scalar_type() == torch::kBFloat16 ? cuda::HalfType::bf16 : cuda::HalfType::fp16;
  call.batch = in.q.size(0), call.heads = in.q.size(1), call.queries = in.q.size(2);
  call.keys = in.k.size(2), call.width = in.q.size(3);
  call.scale = static_cast<float>(how.scale), call.causal = how.causal;
  call.q = rows<const void>(in.q), call.k = rows<const void>(in.k), call.v = rows<const void>(in.v);
  call.out = rows<void>(out);
  call.row_stats = stats.defined() ? stats.data_ptr<float>() : nullptr;
  return call;
}

Tensor floats_by_row(const Tensor& q, int64_t per_row) {
  return torch::empty({q.size(0), q.size(1), q.size(2), per_row},
                      q.options().dtype(torch::kFloat32));
}

void* current_stream(const Tensor& x) {
  return c10::cuda::getCurrentCUDAStream(x.get_device()).stream();
}

void run_forward(const Weighting& how, const Heads& in, const Tensor& out, const Tensor& stats) {
  if (out.numel() == 0) return;
  const c10::cuda::CUDAGuard device(in.q.device());
  cuda::attention_forward(make_call(how, in, out, stats), current_stream(in.q));
}

void run_backward(const Weighting& how,
                  const Heads& in,
                  const Tensor& out,
                  const Tensor& stats,
                  const Tensor& grad_out,
                  const Heads& grads) {
  if (torch::GradMode::is_enabled())
    throw std::runtime_error(
        "cuda_attention: differentiable once only; for second derivatives use the attention "
        "kind's reference");
  if (out.numel() == 0) return;
  const c10::cuda::CUDAGuard device(in.q.device());
  const auto go = aligned_rows(grad_out.to(in.q.scalar_type()));
  const auto facts = floats_by_row(in.q, 4);
  cuda::AttentionBackward call{};
  call.forward = make_call(how, in, out, stats);
  call.grad_out = rows<const void>(go);
  call.grad_q = rows<void>(grads.q), call.grad_k = rows<void>(grads.k);
  call.grad_v = rows<void>(grads.v);
  call.row_facts = facts.data_ptr<float>();
  cuda::attention_backward(call, current_stream(in.q));
}

/// [B, H, L, D] over memory [B, L, H, D].
Tensor empty_by_token(const Tensor& x, int64_t tokens) {
  return torch::empty({x.size(0), tokens, x.size(1), x.size(3)}, x.options()).transpose(1, 2);
}

/// x [B, L, H * D] as [B, H, L, D].
Tensor by_head(const Tensor& x, int64_t heads) {
  return x.unflatten(2, {heads, x.size(2) / heads}).transpose(1, 2);
}

Heads heads_of(const Tensor& qkv, int64_t heads) {
  const auto parts = qkv.view({qkv.size(0), qkv.size(1), 3, heads, qkv.size(2) / (3 * heads)})
                         .permute({2, 0, 3, 1, 4});
  return {parts[0], parts[1], parts[2]};
}

struct SeparateCudaAttention : torch::autograd::Function<SeparateCudaAttention> {
  static Tensor forward(
      AutogradContext* ctx, Tensor q, Tensor k, Tensor v, int64_t kind, double scale, bool causal) {
    const Heads in{aligned_rows(q), aligned_rows(k), aligned_rows(v)};
    const auto out = empty_by_token(in.q, in.q.size(2)), stats = floats_by_row(in.q, 2);
    run_forward({static_cast<ScoreKind>(kind), scale, causal}, in, out, stats);
    ctx->save_for_backward({in.q, in.k, in.v, out, stats});
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["causal"] = causal;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grad_out) {
    const auto saved = ctx->get_saved_variables();
    const Heads in{saved[0], saved[1], saved[2]};
    const Heads grads{empty_by_token(in.q, in.q.size(2)),
                      empty_by_token(in.k, in.k.size(2)),
                      empty_by_token(in.v, in.v.size(2))};
    run_backward({static_cast<ScoreKind>(ctx->saved_data["kind"].toInt()),
                  ctx->saved_data["scale"].toDouble(),
                  ctx->saved_data["causal"].toBool()},
                 in,
                 saved[3],
                 saved[4],
                 grad_out[0],
                 grads);
    return {grads.q, grads.k, grads.v, Tensor(), Tensor(), Tensor()};
  }
};

struct PackedCudaAttention : torch::autograd::Function<PackedCudaAttention> {
  static Tensor forward(
      AutogradContext* ctx, Tensor qkv, int64_t heads, int64_t kind, double scale) {
    qkv = qkv.contiguous();
    const auto attended = cuda_attention_rows(static_cast<ScoreKind>(kind), qkv, heads, scale);
    ctx->save_for_backward({qkv, attended.out, attended.row_stats});
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["scale"] = scale;
    return attended.out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grad_out) {
    const auto saved = ctx->get_saved_variables();
    const auto grad_qkv =
        cuda_attention_rows_grad(static_cast<ScoreKind>(ctx->saved_data["kind"].toInt()),
                                 saved[0],
                                 ctx->saved_data["heads"].toInt(),
                                 ctx->saved_data["scale"].toDouble(),
                                 {saved[1], saved[2]},
                                 grad_out[0]);
    return {grad_qkv, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

CudaAttended cuda_attention_rows(ScoreKind kind, const Tensor& qkv, int64_t heads, double scale) {
  const auto in = heads_of(qkv, heads);
  CudaAttended attended;
  attended.out = torch::empty({qkv.size(0), qkv.size(1), qkv.size(2) / 3}, qkv.options());
  attended.row_stats = floats_by_row(in.q, 2);
  run_forward({kind, scale}, in, by_head(attended.out, heads), attended.row_stats);
  return attended;
}

Tensor cuda_attention_rows_grad(ScoreKind kind,
                                const Tensor& qkv,
                                int64_t heads,
                                double scale,
                                const CudaAttended& attended,
                                const Tensor& grad_out) {
  const auto grad_qkv = torch::empty_like(qkv);
  run_backward({kind, scale},
               heads_of(qkv, heads),
               by_head(attended.out, heads),
               attended.row_stats,
               by_head(grad_out, heads),
               heads_of(grad_qkv, heads));
  return grad_qkv;
}

bool cuda_attention_serves(const Tensor& x, int64_t width, double scale) {
  if (!x.is_cuda() || (x.scalar_type() != torch::kBFloat16 && x.scalar_type() != torch::kHalf))
    return false;
  return width >= 8 && width <= 128 && width % 8 == 0 && scale > 0 &&
         at::cuda::getDeviceProperties(x.get_device())->major >= 8;
}

Tensor cuda_attention(
    ScoreKind kind, const Tensor& q, const Tensor& k, const Tensor& v, double scale, bool causal) {
  for (const auto* x : {&q, &k, &v})
    if (!x->defined() || x->dim() != 4 || !cuda_attention_serves(*x, x->size(3), scale) ||
        x->scalar_type() != q.scalar_type() || x->device() != q.device())
      throw std::invalid_argument(
          "cuda_attention: give q, k and v [batch, heads, tokens, width], all bf16 or all fp16, on "
          "one CUDA device, width a multiple of 8 up to 128");
  if (k.sizes() != v.sizes() || q.size(0) != k.size(0) || q.size(1) != k.size(1) ||
      q.size(3) != k.size(3) || k.size(2) == 0)
    throw std::invalid_argument("cuda_attention: shapes of q, k and v disagree");
  if (causal && k.size(2) < q.size(2))
    throw std::invalid_argument(fmt::format(
        "cuda_attention: causal with {} queries and {} keys; give at least as many keys",
        q.size(2),
        k.size(2)));
  return SeparateCudaAttention::apply(q, k, v, static_cast<int64_t>(kind), scale, causal);
}

Tensor cuda_attention(ScoreKind kind, const Tensor& qkv, int64_t heads, double scale) {
  if (!qkv.defined() || qkv.dim() != 3 || heads < 1 || qkv.size(2) % (3 * heads) != 0 ||
      !cuda_attention_serves(qkv, qkv.size(2) / (3 * heads), scale))
    throw std::invalid_argument(
        "cuda_attention: give qkv [batch, tokens, 3 * heads * width], bf16 or fp16, on a CUDA "
        "device, width a multiple of 8 up to 128");
  return PackedCudaAttention::apply(qkv, heads, static_cast<int64_t>(kind), scale);
}

}  // namespace uvic::model
