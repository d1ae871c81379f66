#include "model/kernels/cpu/fused_block.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <stdexcept>

#include "model/kernels/cpu/attention_kernels.h"
#include "model/kernels/cpu/product_kernels.h"
#include "model/kernels/cpu/row_kernels.h"

namespace uvic::model {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

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
  kQNormWeight,
  kKNormWeight,
  kInputs
};

/// What the backward pass reads: results of the forward pass [B, L, ...] and parameters. Results
/// that one pass over memory can recompute (both norms, gelu) are not kept.
struct Kept {
  Tensor x;                         ///< in the dtype of the products, if there is a skip
  Tensor skip;                      ///< float32: an earlier block keeps it anyway
  Tensor start;                     ///< float32, the residual stream before attention
  Tensor qkv, attended, row_stats;  ///< around attention
  Tensor middle;                    ///< float32, the residual stream before the MLP
  Tensor hidden;                    ///< fc1's output, or w12's
  Tensor projected;                 ///< qkv before its heads were normalised; otherwise undefined
  Tensor skip_weight, norm1_weight, norm1_bias, qkv_weight, proj_weight, norm2_weight, norm2_bias,
      fc1_weight, fc2_weight, q_norm_weight, k_norm_weight, cos, sin;

  std::array<Tensor*, 22> all() {
    return {&x,          &skip,        &start,         &qkv,
            &attended,   &row_stats,   &middle,        &hidden,
            &projected,  &skip_weight, &norm1_weight,  &norm1_bias,
            &qkv_weight, &proj_weight, &norm2_weight,  &norm2_bias,
            &fc1_weight, &fc2_weight,  &q_norm_weight, &k_norm_weight,
            &cos,        &sin};
  }
  variable_list list() {
    variable_list tensors;
    for (const auto* tensor : all()) tensors.push_back(*tensor);
    return tensors;
  }
  static Kept from(const variable_list& tensors) {
    Kept kept;
    const auto all = kept.all();
    for (size_t i = 0; i < all.size(); ++i) *all[i] = tensors[i];
    return kept;
  }
};

/// LibTorch 1.13 accepts no undefined tensors as arguments of an operation, so an empty tensor
/// replaces it.
Tensor or_empty(const Tensor& x) { return x.defined() ? x : torch::empty({0}); }
Tensor or_undefined(const Tensor& x) { return x.numel() > 0 ? x : Tensor(); }

HeadPlacing placing_of(const Kept& kept, int64_t heads, double epsilon) {
  return {heads, kept.q_norm_weight, kept.k_norm_weight, kept.cos, kept.sin, epsilon};
}

struct FusedBlock : torch::autograd::Function<FusedBlock> {
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
                        const Tensor& q_norm_weight,
                        const Tensor& k_norm_weight,
                        const Tensor& cos,
                        const Tensor& sin,
                        const BlockShape& shape,
                        torch::Dtype compute) {
    const Norm norm1{norm1_weight, or_undefined(norm1_bias), shape.norm_epsilon},
        norm2{norm2_weight, or_undefined(norm2_bias), shape.norm_epsilon};
    Kept kept;
    kept.skip_weight = or_undefined(skip_weight);
    kept.norm1_weight = norm1_weight, kept.norm1_bias = norm1.shift;
    kept.qkv_weight = qkv_weight, kept.proj_weight = proj_weight;
    kept.norm2_weight = norm2_weight, kept.norm2_bias = norm2.shift;
    kept.fc1_weight = fc1_weight, kept.fc2_weight = fc2_weight;
    kept.q_norm_weight = or_undefined(q_norm_weight);
    kept.k_norm_weight = or_undefined(k_norm_weight);
    kept.cos = or_undefined(cos), kept.sin = or_undefined(sin);

    kept.start = x.contiguous();
    if (kept.skip_weight.defined()) {
      kept.x = cast_rows(kept.start, compute);
      kept.skip = skip.contiguous();
      const auto halves = skip_weight.chunk(2, 1);
      kept.start = product_add_rows({}, kept.x, halves[0], skip_bias);
      kept.start = product_add_rows(kept.start, cast_rows(kept.skip, compute), halves[1], {});
    }
    kept.qkv =
        product_rows(norm_rows(kept.start, norm1, compute).y, qkv_weight, or_undefined(qkv_bias));
    if (const auto placing = placing_of(kept, shape.heads, shape.head_norm_epsilon);
        placing.any()) {
      const bool normalises = placing.q_weight.defined();
      if (normalises) kept.projected = kept.qkv;
      kept.qkv = place_heads(kept.qkv, placing, /*in_place=*/!normalises);
    }
    const auto attended = attention_rows(shape.kind, kept.qkv, shape.heads, shape.scale);
    kept.attended = attended.out, kept.row_stats = attended.row_stats;
    kept.middle = product_add_rows(kept.start, kept.attended, proj_weight, proj_bias);

    const auto normal2 = norm_rows(kept.middle, norm2, compute).y;
    GeluRows mlp;
    if (shape.swiglu) {
      mlp.z = product_rows(normal2, fc1_weight, fc1_bias);
      mlp.activated = swiglu_rows(mlp.z);
    } else {
      mlp = product_gelu_rows(normal2, fc1_weight, fc1_bias);
    }
    kept.hidden = mlp.z;
    const auto out = product_add_rows(kept.middle, mlp.activated, fc2_weight, fc2_bias);

    ctx->save_for_backward(kept.list());
    ctx->saved_data["heads"] = shape.heads;
    ctx->saved_data["scale"] = shape.scale;
    ctx->saved_data["epsilon"] = shape.norm_epsilon;
    ctx->saved_data["swiglu"] = shape.swiglu;
    ctx->saved_data["head_epsilon"] = shape.head_norm_epsilon;
    ctx->saved_data["kind"] = static_cast<int64_t>(shape.kind);
    ctx->saved_data["qkv_bias"] = qkv_bias.numel() > 0;
    return out;
  }

  /// The gradients of the MLP. A function of its own, so that its intermediate tensors are freed
  /// before the gradients of attention.
  static NormGrads mlp_grad(
      const Kept& kept, const Tensor& d_out, const Norm& norm2, bool swiglu, variable_list& grads) {
    const auto compute = kept.qkv.scalar_type();
    const auto d_mlp = narrow_rows(d_out, compute);
    grads[kFc2Bias] = d_mlp.columns;
    auto d_hidden = swiglu ? product_swiglu_grad(d_mlp.y, kept.fc2_weight, kept.hidden)
                           : product_gelu_grad(d_mlp.y, kept.fc2_weight, kept.hidden);
    grads[kFc2Weight] = product_weight_grad(d_mlp.y, d_hidden.activated);
    d_hidden.activated.reset();
    grads[kFc1Bias] = d_hidden.bias;
    const auto normal2 = norm_rows(kept.middle, norm2, compute);
    grads[kFc1Weight] = product_weight_grad(d_hidden.du, normal2.y);
    return norm_rows_grad(
        product_grad(d_hidden.du, kept.fc1_weight), kept.middle, normal2.stats, norm2, d_out);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grad_out) {
    if (torch::GradMode::is_enabled())
      throw std::runtime_error(
          "fused_block: differentiable once only; for second derivatives turn the fused kernels "
          "off");
    const Kept kept = Kept::from(ctx->get_saved_variables());
    const auto compute = kept.qkv.scalar_type();
    const auto kind = static_cast<ScoreKind>(ctx->saved_data["kind"].toInt());
    const int64_t heads = ctx->saved_data["heads"].toInt();
    const double scale = ctx->saved_data["scale"].toDouble();
    const double epsilon = ctx->saved_data["epsilon"].toDouble();
    const Norm norm1{kept.norm1_weight, kept.norm1_bias, epsilon},
        norm2{kept.norm2_weight, kept.norm2_bias, epsilon};
    variable_list grads(kInputs + 4);  // none of cos, sin, shape and compute

    const auto d_out = grad_out[0].contiguous();
    const auto d_middle = mlp_grad(kept, d_out, norm2, ctx->saved_data["swiglu"].toBool(), grads);
    grads[kNorm2Weight] = d_middle.weight;
    grads[kNorm2Bias] = d_middle.shift;

    grads[kProjBias] = d_middle.dx_columns;
    grads[kProjWeight] = product_weight_grad(d_middle.dx_narrow, kept.attended);
    auto d_qkv = attention_rows_grad(kind,
                                     kept.qkv,
                                     heads,
                                     scale,
                                     {kept.attended, kept.row_stats},
                                     product_grad(d_middle.dx_narrow, kept.proj_weight));
    const auto placing = placing_of(kept, heads, ctx->saved_data["head_epsilon"].toDouble());
    if (placing.any()) {
      const auto placed = place_heads_grad(kept.projected, placing, d_qkv);
      d_qkv = placed.dqkv;
      grads[kQNormWeight] = placed.q_weight, grads[kKNormWeight] = placed.k_weight;
    }
    if (ctx->saved_data["qkv_bias"].toBool())
      grads[kQkvBias] = d_qkv.flatten(0, 1).sum(0, false, torch::kFloat32);
    const auto normal1 = norm_rows(kept.start, norm1, compute);
    grads[kQkvWeight] = product_weight_grad(d_qkv, normal1.y);
    const auto d_start = norm_rows_grad(
        product_grad(d_qkv, kept.qkv_weight), kept.start, normal1.stats, norm1, d_middle.dx);
    grads[kNorm1Weight] = d_start.weight;
    grads[kNorm1Bias] = d_start.shift;

    if (!kept.x.defined()) {
      grads[kX] = d_start.dx;
      return grads;
    }
    grads[kSkipBias] = d_start.dx_columns;
    grads[kSkipWeight] =
        torch::cat({product_weight_grad(d_start.dx_narrow, kept.x),
                    product_weight_grad(d_start.dx_narrow, cast_rows(kept.skip, compute))},
                   1);
    const auto halves = kept.skip_weight.chunk(2, 1);
    grads[kX] = product_grad(d_start.dx_narrow, halves[0], /*wide=*/true);
    grads[kSkip] = product_grad(d_start.dx_narrow, halves[1], /*wide=*/true);
    return grads;
  }
};

}  // namespace

bool fused_block_serves(const Tensor& x,
                        const BlockParameters& p,
                        const BlockShape& shape,
                        torch::Dtype compute) {
  const bool changes_heads = p.q_norm_weight.defined() || p.cos.defined();
  return x.is_cpu() && x.scalar_type() == torch::kFloat32 && p.qkv_weight.is_cpu() &&
         p.qkv_weight.scalar_type() == torch::kFloat32 &&
         (compute == torch::kFloat32 || compute == torch::kBFloat16) &&
         (!changes_heads || x.size(-1) / shape.heads % 2 == 0);
}

Tensor fused_block(const Tensor& x,
                   const Tensor& skip,
                   const BlockParameters& p,
                   const BlockShape& shape,
                   torch::Dtype compute) {
  if (!fused_block_serves(x, p, shape, compute))
    throw std::invalid_argument(fmt::format(
        "fused_block: x is {} on {}, parameters {}, products {}, heads {}; give float32 on the "
        "CPU, products in float32 or bf16, and an even width of heads that are changed",
        c10::toString(x.scalar_type()),
        x.device().str(),
        c10::toString(p.qkv_weight.scalar_type()),
        c10::toString(compute),
        shape.heads));
  if (x.dim() != 3 || x.size(2) != p.qkv_weight.size(1) || x.size(2) % shape.heads != 0 ||
      (skip.defined() && (skip.sizes() != x.sizes() || skip.scalar_type() != x.scalar_type())) ||
      skip.defined() != p.skip_weight.defined())
    throw std::invalid_argument(
        fmt::format("fused_block: x has {} dimensions and width {}, the block is {} wide with {} "
                    "heads and {}; x and skip must both be "
                    "[batch, tokens, width]",
                    x.dim(),
                    x.size(-1),
                    p.qkv_weight.size(1),
                    shape.heads,
                    p.skip_weight.defined() ? "takes a skip" : "takes no skip"));
  const int64_t width = x.size(2) / shape.heads, rows = x.size(0) * x.size(1);
  if (p.cos.defined() && (p.cos.dim() != 2 || p.cos.size(1) != width / 2 || p.cos.size(0) == 0 ||
                          rows % p.cos.size(0) != 0 || p.cos.sizes() != p.sin.sizes()))
    throw std::invalid_argument(
        fmt::format("fused_block: rotations of {} and {} for {} rows and heads of {}; give "
                    "[places, width / 2]",
                    fmt::join(p.cos.sizes(), " x "),
                    fmt::join(p.sin.sizes(), " x "),
                    rows,
                    width));
  return FusedBlock::apply(x,
                           or_empty(skip),
                           or_empty(p.skip_weight),
                           or_empty(p.skip_bias),
                           p.norm1_weight,
                           or_empty(p.norm1_bias),
                           p.qkv_weight,
                           or_empty(p.qkv_bias),
                           p.proj_weight,
                           p.proj_bias,
                           p.norm2_weight,
                           or_empty(p.norm2_bias),
                           p.fc1_weight,
                           p.fc1_bias,
                           p.fc2_weight,
                           p.fc2_bias,
                           or_empty(p.q_norm_weight),
                           or_empty(p.k_norm_weight),
                           or_empty(p.cos),
                           or_empty(p.sin),
                           shape,
                           compute);
}

}  // namespace uvic::model
