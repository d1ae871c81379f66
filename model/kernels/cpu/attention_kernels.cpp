#include "model/kernels/cpu/attention_kernels.h"

#include <fmt/format.h>

#include <stdexcept>

#include "base/parallel.h"
#include "model/kernels/cpu/element_type.h"
#include "model/kernels/cpu/kernel_record.h"
#include "model/kernels/cpu/scratch_memory.h"

namespace uvic::model {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::string describe(const Tensor& x) {
  std::string sizes;
  for (const auto n : x.sizes()) sizes += (sizes.empty() ? "" : ", ") + std::to_string(n);
  return fmt::format("[{}] {} on {}", sizes, c10::toString(x.scalar_type()), x.device().str());
}

/// x [B, H, L, D] with contiguous rows.
template <class T>
TokenRows<T> rows(const Tensor& x) {
  return {x.data_ptr(), x.stride(0), x.stride(1), x.stride(2)};
}

Tensor with_unit_rows(const Tensor& x) {
  return x.stride(3) == 1 || x.size(3) == 1 ? x : x.contiguous();
}

AttentionCall make_call(ScoreKind kind,
                        const Tensor& q,
                        const Tensor& k,
                        const Tensor& v,
                        const Tensor& out,
                        double scale,
                        bool causal) {
  AttentionCall call;
  call.kind = kind;
  call.type = type_of(q.scalar_type());
  call.batch = q.size(0);
  call.heads = q.size(1);
  call.queries = q.size(2);
  call.keys = k.size(2);
  call.width = q.size(3);
  call.scale = static_cast<float>(scale);
  call.causal = causal;
  call.q = rows<const void>(q);
  call.k = rows<const void>(k);
  call.v = rows<const void>(v);
  call.out = rows<void>(out);
  call.row_stats = nullptr;
  return call;
}

/// A product counts 2 operations for each query, key and element of the width. The scores stay in
/// the caches.
KernelWork work_of(const AttentionCall& call, int products, int query_rows, int key_rows) {
  const auto of_heads = static_cast<double>(call.batch * call.heads * call.width);
  const auto queries = static_cast<double>(call.queries), keys = static_cast<double>(call.keys);
  const double element = call.type == ElementType::bf16 ? 2 : 4;
  const double seen = call.causal ? keys - (queries - 1) / 2 : keys;  // by a query, on average
  return {2 * products * of_heads * queries * seen,
          element * of_heads * (query_rows * queries + key_rows * keys)};
}

/// Returns out [B, H, L, D]. Writes the row statistics if `stats` is not null.
void run_forward(ScoreKind kind,
                 const Tensor& q,
                 const Tensor& k,
                 const Tensor& v,
                 const Tensor& out,
                 double scale,
                 bool causal,
                 const Tensor& stats) {
  if (out.numel() == 0) return;
  AttentionCall call = make_call(kind, q, k, v, out, scale, causal);
  if (stats.defined()) call.row_stats = stats.data_ptr<float>();
  UVIC_KERNEL("attention", work_of(call, 2, 2, 2));
  const KernelTable& kernels = active_kernels();
  base::parallel_ranges(call.batch * call.heads, 1, [&](int64_t begin, int64_t end) {
    kernels.attention(call, begin, end, thread_scratch(kernels.attention_scratch(call)));
  });
}

struct Gradients {
  Tensor q, k, v;  ///< [B, H, L, D], any strides, contiguous rows
};

void run_backward(ScoreKind kind,
                  const Tensor& q,
                  const Tensor& k,
                  const Tensor& v,
                  const Tensor& out,
                  double scale,
                  bool causal,
                  const Tensor& stats,
                  const Tensor& grad_out,
                  const Gradients& grads) {
  if (torch::GradMode::is_enabled())
    throw std::runtime_error(
        "fused_attention: differentiable once only; for second derivatives use the attention "
        "kind's reference");
  if (out.numel() == 0) return;
  const Tensor go = with_unit_rows(grad_out.to(q.scalar_type()));
  AttentionGradCall call;
  call.forward = make_call(kind, q, k, v, out, scale, causal);
  call.forward.row_stats = stats.data_ptr<float>();
  call.grad_out = rows<const void>(go);
  call.grad_q = rows<void>(grads.q);
  call.grad_k = rows<void>(grads.k);
  call.grad_v = rows<void>(grads.v);
  UVIC_KERNEL("attention_grad", work_of(call.forward, 5, 4, 4));
  const KernelTable& kernels = active_kernels();
  base::parallel_ranges(q.size(0) * q.size(1), 1, [&](int64_t begin, int64_t end) {
    kernels.attention_grad(call, begin, end, thread_scratch(kernels.attention_grad_scratch(call)));
  });
}

/// [B, H, L, D] over memory [B, L, H, D].
Tensor empty_by_token(
    int64_t batch, int64_t heads, int64_t tokens, int64_t width, const Tensor& like) {
  return torch::empty({batch, tokens, heads, width}, like.options()).transpose(1, 2);
}

Tensor empty_stats(const Tensor& q) {
  return torch::empty({q.size(0), q.size(1), q.size(2), 2}, q.options().dtype(torch::kFloat32));
}

struct SeparateAttention : torch::autograd::Function<SeparateAttention> {
  static Tensor forward(
      AutogradContext* ctx, Tensor q, Tensor k, Tensor v, int64_t kind, double scale, bool causal) {
    q = with_unit_rows(q);
    k = with_unit_rows(k);
    v = with_unit_rows(v);
    const auto out = empty_by_token(q.size(0), q.size(1), q.size(2), q.size(3), q);
    const auto stats = empty_stats(q);
    run_forward(static_cast<ScoreKind>(kind), q, k, v, out, scale, causal, stats);
    ctx->save_for_backward({q, k, v, out, stats});
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["scale"] = scale;
    ctx->saved_data["causal"] = causal;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grad_out) {
    const auto saved = ctx->get_saved_variables();
    const auto &q = saved[0], &k = saved[1], &v = saved[2];
    const auto like = [](const Tensor& x) {
      return empty_by_token(x.size(0), x.size(1), x.size(2), x.size(3), x);
    };
    const Gradients grads{like(q), like(k), like(v)};
    run_backward(static_cast<ScoreKind>(ctx->saved_data["kind"].toInt()),
                 q,
                 k,
                 v,
                 saved[3],
                 ctx->saved_data["scale"].toDouble(),
                 ctx->saved_data["causal"].toBool(),
                 saved[4],
                 grad_out[0],
                 grads);
    return {grads.q, grads.k, grads.v, Tensor(), Tensor(), Tensor()};
  }
};

/// q, k and v of [B, L, 3 * H * D], each [B, H, L, D].
Gradients split_heads(const Tensor& qkv, int64_t heads) {
  const auto parts = qkv.view({qkv.size(0), qkv.size(1), 3, heads, qkv.size(2) / (3 * heads)})
                         .permute({2, 0, 3, 1, 4});
  return {parts[0], parts[1], parts[2]};
}

struct PackedAttention : torch::autograd::Function<PackedAttention> {
  static Tensor forward(
      AutogradContext* ctx, Tensor qkv, int64_t heads, int64_t kind, double scale) {
    qkv = qkv.contiguous();
    const auto attended = attention_rows(static_cast<ScoreKind>(kind), qkv, heads, scale);
    ctx->save_for_backward({qkv, attended.out, attended.row_stats});
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["scale"] = scale;
    return attended.out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grad_out) {
    const auto saved = ctx->get_saved_variables();
    const auto grad_qkv =
        attention_rows_grad(static_cast<ScoreKind>(ctx->saved_data["kind"].toInt()),
                            saved[0],
                            ctx->saved_data["heads"].toInt(),
                            ctx->saved_data["scale"].toDouble(),
                            {saved[1], saved[2]},
                            grad_out[0]);
    return {grad_qkv, Tensor(), Tensor(), Tensor()};
  }
};

/// x [B, L, H * D] as [B, H, L, D].
Tensor by_head(const Tensor& x, int64_t heads) {
  return x.unflatten(2, {heads, x.size(2) / heads}).transpose(1, 2);
}

}  // namespace

AttendedRows attention_rows(ScoreKind kind, const Tensor& qkv, int64_t heads, double scale) {
  const auto in = split_heads(qkv, heads);
  AttendedRows attended{torch::empty({qkv.size(0), qkv.size(1), qkv.size(2) / 3}, qkv.options()),
                        empty_stats(in.q)};
  run_forward(
      kind, in.q, in.k, in.v, by_head(attended.out, heads), scale, false, attended.row_stats);
  return attended;
}

Tensor attention_rows_grad(ScoreKind kind,
                           const Tensor& qkv,
                           int64_t heads,
                           double scale,
                           const AttendedRows& attended,
                           const Tensor& grad_out) {
  const auto in = split_heads(qkv, heads);
  const auto grad_qkv = torch::empty_like(qkv);
  run_backward(kind,
               in.q,
               in.k,
               in.v,
               by_head(attended.out, heads),
               scale,
               /*causal=*/false,
               attended.row_stats,
               by_head(grad_out, heads),
               split_heads(grad_qkv, heads));
  return grad_qkv;
}

bool fused_attention_serves(const Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == torch::kFloat32 || x.scalar_type() == torch::kBFloat16);
}

Tensor fused_attention(
    ScoreKind kind, const Tensor& q, const Tensor& k, const Tensor& v, double scale, bool causal) {
  for (const auto* x : {&q, &k, &v})
    if (!x->defined() || x->dim() != 4 || !fused_attention_serves(*x) ||
        x->scalar_type() != q.scalar_type())
      throw std::invalid_argument(
          fmt::format("fused_attention: got {}; give q, k and v [batch, heads, tokens, width], all "
                      "float32 or all bf16, on the CPU",
                      x->defined() ? describe(*x) : "an undefined tensor"));
  if (k.sizes() != v.sizes() || q.size(0) != k.size(0) || q.size(1) != k.size(1) ||
      q.size(3) != k.size(3) || k.size(2) == 0)
    throw std::invalid_argument(
        fmt::format("fused_attention: q {}, k {}, v {} disagree; give k and v of one shape with at "
                    "least one token, and batch, "
                    "heads and width of q",
                    describe(q),
                    describe(k),
                    describe(v)));
  if (causal && k.size(2) < q.size(2))
    throw std::invalid_argument(
        fmt::format("fused_attention: causal with q {} and k {}; give at least as many keys as "
                    "queries",
                    describe(q),
                    describe(k)));
  return SeparateAttention::apply(q, k, v, static_cast<int64_t>(kind), scale, causal);
}

Tensor fused_attention(ScoreKind kind, const Tensor& qkv, int64_t heads, double scale) {
  if (!qkv.defined() || qkv.dim() != 3 || !fused_attention_serves(qkv) || heads < 1 ||
      qkv.size(2) % (3 * heads) != 0)
    throw std::invalid_argument(
        fmt::format("fused_attention: got qkv {} and {} heads; give [batch, tokens, 3 * heads * "
                    "width], float32 or bf16, on the CPU",
                    qkv.defined() ? describe(qkv) : "undefined",
                    heads));
  return PackedAttention::apply(qkv, heads, static_cast<int64_t>(kind), scale);
}

}  // namespace uvic::model
