#include "model/kernels/cuda/block_cuda_binding.h"

#include <c10/cuda/CUDAGuard.h>

#include <array>
#include <stdexcept>

#include "model/kernels/cuda/attention_cuda_binding.h"
#include "model/kernels/cuda/row_cuda.h"

namespace uvic::model {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kNarrow = torch::kBFloat16;

// The index of each input of the operation.
enum Input : size_t {
  kX,
  kSkip,
  kSkipWeight,
  kSkipBias,
  kNorm1Weight,
  kNorm1Bias,
  kQkvWeight,
  kQkvBias,
  kProjWeight,
  kProjBias,
  kNorm2Weight,
  kNorm2Bias,
  kFc1Weight,
  kFc1Bias,
  kFc2Weight,
  kFc2Bias,
  kInputs
};

/// What the backward pass reads. Tokens are [B, L, ...]; weights are the bf16 copies of the forward
/// pass.
struct Kept {
  Tensor both;                      ///< [x, skip], bf16, if there is a skip
  Tensor start, stats1, normal1;    ///< the residual stream before attention; its norm
  Tensor qkv, attended, row_stats;  ///< around attention
  Tensor middle, stats2, normal2;   ///< the residual stream before the MLP; its norm
  Tensor hidden, activated;         ///< fc1's output; its GELU
  Tensor skip_weight, qkv_weight, proj_weight, fc1_weight, fc2_weight;
  Tensor norm1_weight, norm2_weight;  ///< float32

  std::array<Tensor*, 19> all() {
    return {&both,
            &start,
            &stats1,
            &normal1,
            &qkv,
            &attended,
            &row_stats,
            &middle,
            &stats2,
            &normal2,
            &hidden,
            &activated,
            &skip_weight,
            &qkv_weight,
            &proj_weight,
            &fc1_weight,
            &fc2_weight,
            &norm1_weight,
            &norm2_weight};
  }
};

void* stream_of(const Tensor& x) {
  return c10::cuda::getCurrentCUDAStream(x.get_device()).stream();
}
uint16_t* halves(const Tensor& x) { return static_cast<uint16_t*>(x.data_ptr()); }
float* floats(const Tensor& x) { return x.defined() ? x.data_ptr<float>() : nullptr; }
int64_t rows_of(const Tensor& x) { return x.numel() / x.size(-1); }
int width_of(const Tensor& x) { return static_cast<int>(x.size(-1)); }
Tensor like(const Tensor& x, torch::Dtype dtype) {
  return torch::empty(x.sizes(), x.options().dtype(dtype));
}
Tensor float_matrix(const Tensor& x, int64_t rows, int64_t columns) {
  return torch::empty({rows, columns}, x.options().dtype(torch::kFloat32));
}
Tensor flat(const Tensor& x) { return x.reshape({-1, x.size(-1)}); }

/// x W^T + b, bf16.
Tensor product(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return torch::linear(x, weight, bias.defined() ? bias.to(kNarrow) : bias);
}
/// The gradient of x.
Tensor product_grad(const Tensor& grad, const Tensor& weight) {
  return torch::matmul(grad, weight);
}
/// The gradient of the weight, float32.
Tensor weight_grad(const Tensor& grad, const Tensor& x) {
  return torch::mm(flat(grad).t(), flat(x)).to(torch::kFloat32);
}

struct Normed {
  Tensor sum, out, stats;
};
/// The norm of x + add; one of the two may be undefined.
Normed norm(
    const Tensor& x, const Tensor& add, const Tensor& weight, const Tensor& bias, double epsilon) {
  const auto& given = x.defined() ? x : add;
  Normed normed;
  normed.out = like(given, kNarrow);
  normed.stats = float_matrix(given, rows_of(given), 2);
  normed.sum = add.defined() ? like(given, torch::kFloat32) : x;
  cuda::NormCall call{};
  call.x = floats(x);
  if (add.defined()) call.add = halves(add), call.sum = floats(normed.sum);
  call.weight = floats(weight), call.bias = floats(bias);
  call.out = halves(normed.out), call.stats = floats(normed.stats);
  call.rows = rows_of(given), call.width = width_of(given);
  call.epsilon = static_cast<float>(epsilon);
  cuda::norm_forward(call, stream_of(given));
  return normed;
}

struct NormGrads {
  Tensor dx, dx_narrow;
  Tensor weight, shift, columns;  ///< gradients of weight and bias; the sum of dx over rows
};
NormGrads norm_grad(const Tensor& grad,
                    const Tensor& s,
                    const Tensor& stats,
                    const Tensor& weight,
                    const Tensor& residual) {
  NormGrads grads;
  grads.dx = like(s, torch::kFloat32), grads.dx_narrow = like(s, kNarrow);
  const auto sums = float_matrix(s, 3, s.size(-1)),
             partial = float_matrix(s, cuda::kMostSlices, 3 * s.size(-1));
  cuda::NormGradCall call{};
  call.grad = halves(grad), call.s = floats(s), call.stats = floats(stats);
  call.weight = floats(weight), call.residual = floats(residual);
  call.dx = floats(grads.dx), call.dx_narrow = halves(grads.dx_narrow);
  call.partial = floats(partial), call.sums = floats(sums);
  call.rows = rows_of(s), call.width = width_of(s);
  cuda::norm_backward(call, stream_of(s));
  grads.weight = sums[0], grads.shift = sums[1], grads.columns = sums[2];
  return grads;
}

struct Narrowed {
  Tensor y, columns;
};
Narrowed narrow_with_sums(const Tensor& x) {
  const Narrowed narrowed{like(x, kNarrow),
                          torch::empty({x.size(-1)}, x.options().dtype(torch::kFloat32))};
  const auto partial = float_matrix(x, cuda::kMostSlices, x.size(-1));
  cuda::narrow_rows({floats(x),
                     halves(narrowed.y),
                     x.size(-1),
                     floats(partial),
                     floats(narrowed.columns),
                     rows_of(x),
                     width_of(x)},
                    stream_of(x));
  return narrowed;
}

/// [x, skip] in bf16.
Tensor side_by_side_rows(const Tensor& x, const Tensor& skip) {
  const int64_t width = x.size(-1);
  const auto both = torch::empty({x.size(0), x.size(1), 2 * width}, x.options().dtype(kNarrow));
  cuda::narrow_rows({floats(x), halves(both), 2 * width, nullptr, nullptr, rows_of(x), width_of(x)},
                    stream_of(x));
  cuda::narrow_rows(
      {floats(skip), halves(both) + width, 2 * width, nullptr, nullptr, rows_of(x), width_of(x)},
      stream_of(x));
  return both;
}

Tensor gelu_rows(const Tensor& z) {
  const auto out = torch::empty_like(z);
  cuda::gelu_forward({halves(z), halves(out), z.numel()}, stream_of(z));
  return out;
}

/// grad becomes the gradient of z; returns the sum over rows.
Tensor gelu_rows_grad(const Tensor& z, const Tensor& grad) {
  const auto sums = torch::empty({z.size(-1)}, z.options().dtype(torch::kFloat32));
  const auto partial = float_matrix(z, cuda::kMostSlices, z.size(-1));
  cuda::gelu_backward({halves(z),
                       halves(grad),
                       halves(grad),
                       floats(partial),
                       floats(sums),
                       rows_of(z),
                       width_of(z)},
                      stream_of(z));
  return sums;
}

Tensor add_rows(const Tensor& x, const Tensor& add) {
  const auto out = torch::empty_like(x);
  cuda::add_narrow({floats(x), halves(add), floats(out), x.numel()}, stream_of(x));
  return out;
}

/// LibTorch 1.13 accepts no undefined tensors as arguments of an operation, so an empty tensor
/// replaces it.
Tensor or_empty(const Tensor& x) { return x.defined() ? x : torch::empty({0}); }
Tensor or_undefined(const Tensor& x) { return x.numel() > 0 ? x : Tensor(); }

struct CudaBlock : torch::autograd::Function<CudaBlock> {
  // One argument per tensor, in the order of Input, so that autograd finds them.
  static Tensor forward(AutogradContext* ctx,
                        const Tensor& x,
                        const Tensor& skip,
                        const Tensor& skip_weight,
                        const Tensor& skip_bias,
                        const Tensor& norm1_weight,
                        const Tensor& norm1_bias,
                        const Tensor& qkv_weight,
                        const Tensor& qkv_bias,
                        const Tensor& proj_weight,
                        const Tensor& proj_bias,
                        const Tensor& norm2_weight,
                        const Tensor& norm2_bias,
                        const Tensor& fc1_weight,
                        const Tensor& fc1_bias,
                        const Tensor& fc2_weight,
                        const Tensor& fc2_bias,
                        const BlockShape& shape) {
    const c10::cuda::CUDAGuard device(x.device());
    Kept kept;
    kept.norm1_weight = norm1_weight, kept.norm2_weight = norm2_weight;
    kept.qkv_weight = qkv_weight.to(kNarrow), kept.proj_weight = proj_weight.to(kNarrow);
    kept.fc1_weight = fc1_weight.to(kNarrow), kept.fc2_weight = fc2_weight.to(kNarrow);

    auto stream = x.contiguous();
    Tensor add;
    if (skip_weight.numel() > 0) {
      kept.skip_weight = skip_weight.to(kNarrow);
      kept.both = side_by_side_rows(stream, skip.contiguous());
      add = product(kept.both, kept.skip_weight, skip_bias);
      stream.reset();
    }
    const auto first = norm(stream, add, norm1_weight, norm1_bias, shape.norm_epsilon);
    kept.start = first.sum, kept.stats1 = first.stats, kept.normal1 = first.out;
    kept.qkv = product(kept.normal1, kept.qkv_weight, or_undefined(qkv_bias));
    const auto attended = cuda_attention_rows(shape.kind, kept.qkv, shape.heads, shape.scale);
    kept.attended = attended.out, kept.row_stats = attended.row_stats;

    const auto second = norm(kept.start,
                             product(kept.attended, kept.proj_weight, proj_bias),
                             norm2_weight,
                             norm2_bias,
                             shape.norm_epsilon);
    kept.middle = second.sum, kept.stats2 = second.stats, kept.normal2 = second.out;
    kept.hidden = product(kept.normal2, kept.fc1_weight, fc1_bias);
    kept.activated = gelu_rows(kept.hidden);
    const auto out = add_rows(kept.middle, product(kept.activated, kept.fc2_weight, fc2_bias));

    variable_list tensors;
    for (const auto* tensor : kept.all()) tensors.push_back(*tensor);
    ctx->save_for_backward(std::move(tensors));
    ctx->saved_data["heads"] = shape.heads;
    ctx->saved_data["scale"] = shape.scale;
    ctx->saved_data["kind"] = static_cast<int64_t>(shape.kind);
    ctx->saved_data["qkv_bias"] = qkv_bias.numel() > 0;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grad_out) {
    if (torch::GradMode::is_enabled())
      throw std::runtime_error(
          "cuda_block: differentiable once only; for second derivatives turn the fused kernels "
          "off");
    Kept kept;
    const auto saved = ctx->get_saved_variables();
    const auto all = kept.all();
    for (size_t i = 0; i < all.size(); ++i) *all[i] = saved[i];
    const c10::cuda::CUDAGuard device(kept.start.device());
    variable_list grads(kInputs + 1);

    const auto d_out = grad_out[0].contiguous();
    const auto d_mlp = narrow_with_sums(d_out);
    grads[kFc2Bias] = d_mlp.columns;
    grads[kFc2Weight] = weight_grad(d_mlp.y, kept.activated);
    const auto d_hidden = product_grad(d_mlp.y, kept.fc2_weight);
    grads[kFc1Bias] = gelu_rows_grad(kept.hidden, d_hidden);
    grads[kFc1Weight] = weight_grad(d_hidden, kept.normal2);
    const auto d_middle = norm_grad(product_grad(d_hidden, kept.fc1_weight),
                                    kept.middle,
                                    kept.stats2,
                                    kept.norm2_weight,
                                    d_out);
    grads[kNorm2Weight] = d_middle.weight, grads[kNorm2Bias] = d_middle.shift;
    grads[kProjBias] = d_middle.columns;
    grads[kProjWeight] = weight_grad(d_middle.dx_narrow, kept.attended);

    const auto d_qkv =
        cuda_attention_rows_grad(static_cast<ScoreKind>(ctx->saved_data["kind"].toInt()),
                                 kept.qkv,
                                 ctx->saved_data["heads"].toInt(),
                                 ctx->saved_data["scale"].toDouble(),
                                 {kept.attended, kept.row_stats},
                                 product_grad(d_middle.dx_narrow, kept.proj_weight));
    if (ctx->saved_data["qkv_bias"].toBool())
      grads[kQkvBias] = flat(d_qkv).sum(0, false, torch::kFloat32);
    grads[kQkvWeight] = weight_grad(d_qkv, kept.normal1);
    const auto d_start = norm_grad(product_grad(d_qkv, kept.qkv_weight),
                                   kept.start,
                                   kept.stats1,
                                   kept.norm1_weight,
                                   d_middle.dx);
    grads[kNorm1Weight] = d_start.weight, grads[kNorm1Bias] = d_start.shift;
    if (!kept.skip_weight.defined()) {
      grads[kX] = d_start.dx;
      return grads;
    }
    grads[kSkipBias] = d_start.columns;
    grads[kSkipWeight] = weight_grad(d_start.dx_narrow, kept.both);
    const auto d_both = product_grad(d_start.dx_narrow, kept.skip_weight).chunk(2, 2);
    grads[kX] = d_both[0].to(torch::kFloat32);
    grads[kSkip] = d_both[1].to(torch::kFloat32);
    return grads;
  }
};

}  // namespace

bool cuda_block_serves(const Tensor& x,
                       const Tensor& parameter,
                       const BlockShape& shape,
                       torch::Dtype compute) {
  if (compute != kNarrow || !x.is_cuda() || x.dim() != 3 || x.scalar_type() != torch::kFloat32 ||
      x.numel() == 0 || !parameter.is_cuda() || parameter.scalar_type() != torch::kFloat32)
    return false;
  const int64_t width = x.size(2);
  return width % 8 == 0 && width <= cuda::kWidestNorm && width % shape.heads == 0 &&
         cuda_attention_serves(
             torch::empty({0}, x.options().dtype(kNarrow)), width / shape.heads, shape.scale);
}

Tensor cuda_block(const Tensor& x,
                  const Tensor& skip,
                  const BlockParameters& p,
                  const BlockShape& shape) {
  if (!cuda_block_serves(x, p.qkv_weight, shape, kNarrow))
    throw std::invalid_argument(
        "cuda_block: give x [batch, tokens, width] and parameters in float32 on a CUDA device, "
        "width a multiple of 8 up to 1152");
  if (x.size(2) != p.qkv_weight.size(1) || skip.defined() != p.skip_weight.defined() ||
      (skip.defined() && (skip.sizes() != x.sizes() || skip.scalar_type() != x.scalar_type())))
    throw std::invalid_argument("cuda_block: shapes of x, skip and parameters disagree");
  return CudaBlock::apply(x,
                          or_empty(skip),
                          or_empty(p.skip_weight),
                          or_empty(p.skip_bias),
                          p.norm1_weight,
                          p.norm1_bias,
                          p.qkv_weight,
                          or_empty(p.qkv_bias),
                          p.proj_weight,
                          p.proj_bias,
                          p.norm2_weight,
                          p.norm2_bias,
                          p.fc1_weight,
                          p.fc1_bias,
                          p.fc2_weight,
                          p.fc2_bias,
                          shape);
}

}  // namespace uvic::model
