#include "model/layers.h"

#include <torch/nn/modules/conv.h>

#include <cmath>

#include "model/attention/probe.h"
#include "model/kernel_choice.h"
#include "model/kernels/cpu/fused_block.h"
#include "model/kernels/cuda/block_cuda_binding.h"

namespace uvic::model {
namespace {

constexpr double kLayerNormEpsilon = 1e-5, kRmsNormEpsilon = 1e-6;

torch::Tensor rms_normalised(const torch::Tensor& x,
                             const torch::Tensor& weight,
                             double epsilon,
                             torch::Dtype out) {
  const auto wide = x.to(weight.scalar_type());
  const auto scale = (wide.square().mean(-1, true) + epsilon).rsqrt();  // [..., 1]
  return (weight * (wide * scale)).to(out);
}

BlockParameters fused_parameters(const BlockImpl& b, const Rotations& rotations) {
  BlockParameters p;
  if (b.skip_linear) p.skip_weight = b.skip_linear->weight, p.skip_bias = b.skip_linear->bias;
  p.norm1_weight = b.norm1->weight, p.norm1_bias = b.norm1->bias;
  p.qkv_weight = b.attn->qkv->weight, p.qkv_bias = b.attn->qkv->bias;
  p.proj_weight = b.attn->proj->weight, p.proj_bias = b.attn->proj->bias;
  p.norm2_weight = b.norm2->weight, p.norm2_bias = b.norm2->bias;
  const auto &up = b.mlp->w12 ? b.mlp->w12 : b.mlp->fc1, &down = b.mlp->w3 ? b.mlp->w3 : b.mlp->fc2;
  p.fc1_weight = up->weight, p.fc1_bias = up->bias;
  p.fc2_weight = down->weight, p.fc2_bias = down->bias;
  if (b.attn->q_norm) p.q_norm_weight = b.attn->q_norm->weight;
  if (b.attn->k_norm) p.k_norm_weight = b.attn->k_norm->weight;
  if (!rotations.defined()) return p;
  // Where each example has places of its own, [B, 1, K, D / 2], each row has.
  p.cos = rotations.cos.flatten(0, -2).contiguous();
  p.sin = rotations.sin.flatten(0, -2).contiguous();
  return p;
}

}  // namespace

torch::Tensor timestep_embedding(const torch::Tensor& timesteps, int64_t dim) {
  const int64_t half = dim / 2;
  const auto steps = torch::arange(half, torch::dtype(torch::kFloat32).device(timesteps.device()));
  const auto frequencies = (-std::log(10000.0) * steps / half).exp();  // [half]
  const auto angles =
      timesteps.to(torch::kFloat32).unsqueeze(1) * frequencies.unsqueeze(0);  // [B, half]
  auto embedding = torch::cat({angles.cos(), angles.sin()}, 1);               // [B, 2 half]
  if (dim % 2) embedding = torch::constant_pad_nd(embedding, {0, 1});
  return embedding;
}

RmsNormImpl::RmsNormImpl(int64_t dim, double epsilon) : epsilon_(epsilon) {
  weight = register_parameter("weight", torch::ones(dim));
}

torch::Tensor RmsNormImpl::forward(const torch::Tensor& x, torch::Dtype out) {
  return rms_normalised(x, weight, epsilon_, out);
}

LayerNormImpl::LayerNormImpl(int64_t dim, bool rms) {
  weight = register_parameter("weight", torch::ones(dim));
  if (!rms) bias = register_parameter("bias", torch::zeros(dim));
}

torch::Tensor LayerNormImpl::forward(const torch::Tensor& x, torch::Dtype out) {
  if (!bias.defined()) return rms_normalised(x, weight, kRmsNormEpsilon, out);
  return torch::layer_norm(
             x.to(weight.scalar_type()), weight.sizes(), weight, bias, kLayerNormEpsilon)
      .to(out);
}

MlpImpl::MlpImpl(int64_t dim, int64_t hidden, bool swiglu) {
  if (swiglu) {
    w12 = register_module("w12", Linear(dim, 2 * hidden));
    w3 = register_module("w3", Linear(hidden, dim));
  } else {
    fc1 = register_module("fc1", Linear(dim, hidden));
    fc2 = register_module("fc2", Linear(hidden, dim));
  }
}

torch::Tensor MlpImpl::forward(const torch::Tensor& x) {
  if (w12) {
    const auto both = w12->forward(x).chunk(2, -1);  // [B, L, hidden] each
    return w3->forward(torch::silu(both[0]) * both[1]);
  }
  return fc2->forward(torch::gelu(fc1->forward(x)));  // [B, L, hidden] between
}

AttentionImpl::AttentionImpl(int64_t dim,
                             int64_t num_heads,
                             bool qkv_bias,
                             double scale,
                             const AttentionKind& kind,
                             int64_t layer,
                             const LayerOptions& options)
    : num_heads_(num_heads),
      scale_(scale),
      kind_(&kind),
      layer_(layer),
      value_residual_(options.value_residual) {
  qkv = register_module("qkv", Linear(dim, 3 * dim, qkv_bias));
  proj = register_module("proj", Linear(dim, dim));
  if (kind.gated) gate = register_module("gate", Linear(dim, dim));
  // Only kinds of sequence networks have parameters for each offset.
  kind_parameters_ = register_kind_parameters(*this, kind, {num_heads, dim / num_heads, 1});
  if (options.qk_norm) {
    q_norm = register_module("q_norm", RmsNorm(dim / num_heads, kRmsNormEpsilon));
    k_norm = register_module("k_norm", RmsNorm(dim / num_heads, kRmsNormEpsilon));
  }
  if (value_residual_ && layer > 0)
    v_residual = register_parameter("v_residual", torch::full({1}, 0.5));
}

/// All that the kind reads but q, k and v.
AttentionInput AttentionImpl::beside_qkv(const torch::Tensor& x) {
  AttentionInput more;
  if (gate) more.gate = gate->forward(x).unflatten(2, {num_heads_, -1}).transpose(1, 2);
  more.layer = layer_;
  more.parameters = kind_parameters_;
  more.scale = scale_;
  return more;
}

AttentionInput AttentionImpl::heads_input(const torch::Tensor& x, const BlockCall& call) {
  auto in = beside_qkv(x);
  place_heads(qkv->forward(x), call, in);
  return in;
}

torch::Tensor AttentionImpl::forward(const torch::Tensor& x, const BlockCall& call) {
  if (const auto active = active_probe(); active.probe && active.probe->replaces(layer_)) {
    const auto in = heads_input(x, call);
    const auto heads = active.probe->replacement(layer_, *kind_, in);  // [B, H, L, D]
    return proj->forward(heads.transpose(1, 2).flatten(2));
  }
  const auto projected = qkv->forward(x);  // [B, L, 3 dim]
  auto more = beside_qkv(x);
  if (q_norm || value_residual_ || call.rotations.defined()) {
    place_heads(projected, call, more);
    return proj->forward(attention(*kind_, more).transpose(1, 2).flatten(2));
  }
  if (call.values) more.v_previous = *call.values;
  if (call.values) *call.values = split_heads(projected.detach(), num_heads_)[2];
  return proj->forward(self_attention(*kind_, projected, num_heads_, scale_, more));
}

/// Queries, keys and values of the heads, changed as the network's options and `call` say.
void AttentionImpl::place_heads(const torch::Tensor& projected,
                                const BlockCall& call,
                                AttentionInput& in) {
  const auto parts = split_heads(projected, num_heads_);  // [B, H, L, D] each
  const auto compute = projected.scalar_type();
  const auto placed = [&](torch::Tensor x, RmsNorm& norm) {
    if (norm) x = norm->forward(x, compute);
    if (!call.rotations.defined()) return x;
    // Narrower rotations turn equal parts of a head, each by itself.
    return rotate_parts(x, call.rotations, x.size(-1) / (2 * call.rotations.cos.size(-1)));
  };
  in.q = placed(parts[0], q_norm), in.k = placed(parts[1], k_norm), in.v = parts[2];
  if (value_residual_ && call.first_values) {
    auto& first = *call.first_values;
    if (!first.defined())
      first = in.v;
    else if (v_residual.defined())
      in.v = in.v + v_residual.to(compute) * (first - in.v);
  }
  if (!call.values) return;
  in.v_previous = *call.values;
  *call.values = in.v.detach();
}

BlockImpl::BlockImpl(
    int64_t dim, int64_t hidden, Attention attention, bool skip, const LayerOptions& options)
    : is_published_(!options.any()) {
  norm1 = register_module("norm1", LayerNorm(dim, options.rms_norm));
  attn = register_module("attn", std::move(attention));
  norm2 = register_module("norm2", LayerNorm(dim, options.rms_norm));
  mlp = register_module("mlp", Mlp(dim, hidden, options.swiglu));
  if (skip) skip_linear = register_module("skip_linear", Linear(2 * dim, dim));
}

/// x, or what a block with a skip connection makes of both.
torch::Tensor BlockImpl::joined(const torch::Tensor& x,
                                const torch::Tensor& skip,
                                torch::Dtype compute) {
  if (!skip_linear) return x;
  return skip_linear->forward(torch::cat({x.to(compute), skip.to(compute)}, -1))
      .to(x.scalar_type());
}

torch::Tensor BlockImpl::run(torch::Tensor x,
                             const torch::Tensor& skip,
                             const BlockCall& call,
                             bool fused) {
  const auto score = attn->kind().score;
  const auto compute = call.compute;
  fused &= score && !call.values && !call.first_values && fused_kernels() &&
           (!call.rotations.defined() ||
            2 * call.rotations.cos.size(-1) == norm1->weight.size(0) / attn->num_heads());
  if (fused) {
    const bool is_rms = !norm1->bias.defined();
    const BlockShape shape{attn->num_heads(),
                           attn->scale(),
                           *score,
                           is_rms ? kRmsNormEpsilon : kLayerNormEpsilon,
                           !mlp->w12.is_empty(),
                           kRmsNormEpsilon};
    const auto parameters = fused_parameters(*this, call.rotations);
    if (fused_block_serves(x, parameters, shape, compute))
      return fused_block(x, skip, parameters, shape, compute);
    if (is_published_ && !call.rotations.defined() &&
        cuda_block_serves(x, norm1->weight, shape, compute))
      return cuda_block(x, skip, parameters, shape);
  }
  x = joined(x, skip, compute);
  x = x + attn->forward(norm1->forward(x, compute), call);
  return x + mlp->forward(norm2->forward(x, compute));
}

BlockView BlockImpl::view(const torch::Tensor& x,
                          const torch::Tensor& skip,
                          const BlockCall& call) {
  const torch::NoGradGuard no_grad;
  // The block itself takes and gives values too.
  auto own = call;
  torch::Tensor values, first_values;
  if (call.values) values = *call.values, own.values = &values;
  if (call.first_values) first_values = *call.first_values, own.first_values = &first_values;
  BlockView seen;
  seen.layer = attn->layer();
  seen.kind = &attn->kind();
  seen.x = joined(x.detach(), skip.defined() ? skip.detach() : skip, call.compute);
  seen.tokens = norm1->forward(seen.x, call.compute);
  seen.attention = attn->heads_input(seen.tokens, own);
  seen.norm_gain = norm1->weight.detach();
  const auto qkv = attn->qkv->weight.detach();
  seen.value_weight = qkv.slice(0, 2 * (qkv.size(0) / 3));
  seen.proj_weight = attn->proj->weight.detach();
  seen.proj_bias = attn->proj->bias.detach();
  return seen;
}

torch::Tensor BlockImpl::forward(torch::Tensor x,
                                 const torch::Tensor& skip,
                                 const BlockCall& call) {
  const auto [probe, first] = active_probe();
  if (!probe) return run(std::move(x), skip, call, /*fused=*/true);
  const bool fused = !probe->replaces(attn->layer());
  BlockView seen;
  if (probe->sees()) seen = view(x, skip, call);
  auto out = run(std::move(x), skip, call, fused);
  if (probe->takes_outputs()) probe->take_output(attn->layer(), out);
  if (!probe->sees()) return out;
  seen.first = first;
  seen.out = out.detach();
  probe->see(seen);
  return out;
}

PatchEmbedImpl::PatchEmbedImpl(int64_t patch_size,
                               int64_t in_chans,
                               int64_t embed_dim,
                               int64_t bottleneck) {
  proj = register_module(
      "proj",
      torch::nn::Conv2d(
          torch::nn::Conv2dOptions(in_chans, bottleneck > 0 ? bottleneck : embed_dim, patch_size)
              .stride(patch_size)
              .bias(bottleneck == 0)));
  if (bottleneck == 0) return;
  proj2 = register_module("proj2", Linear(bottleneck, embed_dim));
  // Tokens begin as large as those of one product.
  trunc_normal_(proj2->weight, 1 / std::sqrt(static_cast<double>(bottleneck)));
}

torch::Tensor PatchEmbedImpl::forward(const torch::Tensor& x) {
  const int64_t batch = x.size(0), channels = x.size(1), p = proj->weight.size(2);
  const int64_t h = x.size(2) / p, w = x.size(3) / p;
  const auto patches = x.reshape({batch, channels, h, p, w, p})
                           .permute({0, 2, 4, 1, 3, 5})
                           .reshape({batch, h * w, channels * p * p});
  const auto tokens = torch::linear(patches, proj->weight.flatten(1), proj->bias);
  return proj2 ? proj2->forward(tokens) : tokens;  // [B, h w, embed_dim]
}

torch::Tensor unpatchify(const torch::Tensor& tokens, int64_t channels) {
  const int64_t batch = tokens.size(0);
  const auto side = static_cast<int64_t>(std::lround(std::sqrt(tokens.size(1))));
  const auto p = static_cast<int64_t>(std::lround(std::sqrt(tokens.size(2) / channels)));
  return tokens.view({batch, side, side, p, p, channels})
      .permute({0, 5, 1, 3, 2, 4})  // [B, C, h, p1, w, p2]
      .reshape({batch, channels, side * p, side * p});
}

}  // namespace uvic::model
