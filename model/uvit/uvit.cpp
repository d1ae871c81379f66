#include "model/uvit/uvit.h"

#include <torch/nn/module.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

#include "base/check.h"
#include "base/parallel.h"
#include "base/tensor_text.h"
#include "model/augment_scope.h"
#include "model/kernel_choice.h"
#include "model/kernels/cpu/product_kernels.h"
#include "model/uvit/placement.h"

namespace uvic::model {
UViTImpl::UViTImpl(const UViTConfig& config) : config_(config) {
  const auto& c = config_;
  c.validate();
  const int64_t dim = c.embed_dim;

  pos_embed = register_parameter("pos_embed", torch::empty({1, c.extras() + c.patches(), dim}));
  trunc_normal_(pos_embed, 0.02);
  if (c.class_tokens > 0) {
    class_pos_embed = register_parameter("class_pos_embed", torch::empty({1, c.class_tokens, dim}));
    trunc_normal_(class_pos_embed, 0.02);
  }
  patch_embed =
      register_module("patch_embed", PatchEmbed(c.patch_size, c.in_chans, dim, c.patch_bottleneck));
  if (c.mlp_time_embed)
    time_embed = register_module(
        "time_embed",
        torch::nn::Sequential(Linear(dim, 4 * dim), torch::nn::SiLU(), Linear(4 * dim, dim)));
  if (c.num_classes > 0)
    label_emb = register_module("label_emb", torch::nn::Embedding(c.num_classes, dim));
  if (c.clip_dim > 0) context_embed = register_module("context_embed", Linear(c.clip_dim, dim));
  if (c.augment_dim > 0) {
    augment_embed = register_module("augment_embed", Linear(c.augment_dim, dim, /*bias=*/false));
    trunc_normal_(augment_embed->weight, 1 / std::sqrt(static_cast<double>(c.augment_dim)));
  }

  const auto picked = place_attention(c.placement, c.blocks());
  const int64_t head_dim = dim / c.num_heads;
  const double scale = c.qk_scale > 0 ? c.qk_scale : 1 / std::sqrt(static_cast<double>(head_dim));
  const LayerOptions options{c.norm == "rms", c.mlp == "swiglu", c.qk_norm, c.value_residual};
  size_t index = 0;
  const auto make_block = [&](bool skip) {
    const auto layer = static_cast<int64_t>(index);
    const auto& kind = attention_kind(picked[index++] ? c.attention : "softmax");
    passes_values_ |= kind.reads_v_previous;
    return Block(dim,
                 c.mlp_hidden(),
                 Attention(dim, c.num_heads, c.qkv_bias, scale, kind, layer, options),
                 skip,
                 options);
  };
  in_blocks = register_module("in_blocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < c.depth / 2; ++i) in_blocks->push_back(make_block(false));
  mid_block = register_module("mid_block", make_block(false));
  out_blocks = register_module("out_blocks", torch::nn::ModuleList());
  for (int64_t i = 0; i < c.depth / 2; ++i) out_blocks->push_back(make_block(c.skip));

  add_decoder();
  if (c.rope)
    rotations_ = grid_rotations(c.img_size / c.patch_size,
                                c.extras(),
                                dim / c.num_heads / attention_kind(c.attention).score_parts,
                                c.rope_theta);
  if (c.init != "official") scale_fresh_weights();
}

void UViTImpl::add_decoder() {
  const auto& c = config_;
  const int64_t dim = c.embed_dim;
  norm = register_module("norm", LayerNorm(dim, c.norm == "rms"));
  decoder_pred =
      register_module("decoder_pred", Linear(dim, c.patch_size * c.patch_size * c.in_chans));
  if (c.conv)
    final_layer = register_module(
        "final_layer",
        torch::nn::Conv2d(torch::nn::Conv2dOptions(c.in_chans, c.in_chans, 3).padding(1)));
  if (c.fusion > 0) {
    fusion = register_module("fusion", Linear(2 * dim, dim));
    mask_token = register_parameter("mask_token", torch::empty({1, 1, dim}));
    trunc_normal_(mask_token, 0.02);
  }
}

void UViTImpl::check(const torch::Tensor& x,
                     const torch::Tensor& timesteps,
                     const torch::Tensor& condition) const {
  const auto& c = config_;
  const int64_t batch = x.dim() == 4 ? x.size(0) : 0;
  base::require(
      x.sizes() == torch::IntArrayRef({batch, c.in_chans, c.img_size, c.img_size}),
      "model: x is {}, the config wants [batch, {}, {}, {}]; pass the config of this data",
      base::shape_text(x),
      c.in_chans,
      c.img_size,
      c.img_size);
  base::require(timesteps.defined() && timesteps.sizes() == torch::IntArrayRef({batch}),
                "model: timesteps is {}, wanted [{}], one for each image",
                base::shape_text(timesteps),
                batch);
  if (label_emb) {
    base::require(condition.defined() && condition.sizes() == torch::IntArrayRef({batch}) &&
                      condition.scalar_type() == torch::kInt64,
                  "model: labels are {}, wanted int64 [{}]: this is a class-conditional model",
                  base::shape_text(condition),
                  batch);
    if (condition.is_cpu() && batch > 0) {
      const auto low = condition.min().item<int64_t>(), high = condition.max().item<int64_t>();
      base::require(low >= 0 && high < c.num_classes,
                    "model: label {}, the model has classes 0 to {}",
                    low < 0 ? low : high,
                    c.num_classes - 1);
    }
  } else if (context_embed) {
    base::require(
        condition.defined() &&
            condition.sizes() == torch::IntArrayRef({batch, c.num_clip_token, c.clip_dim}),
        "model: context is {}, wanted [{}, {}, {}]: this is a context-conditional model",
        base::shape_text(condition),
        batch,
        c.num_clip_token,
        c.clip_dim);
  } else {
    base::require(
        !condition.defined(),
        "model: a condition {} was given to an unconditional model; set num_classes or clip_dim",
        base::shape_text(condition));
  }
}

torch::Tensor UViTImpl::embed(const torch::Tensor& x,
                              const torch::Tensor& timesteps,
                              const torch::Tensor& condition) {
  const auto dtype = pos_embed.scalar_type();
  auto time = timestep_embedding(timesteps, config_.embed_dim).to(dtype);
  if (time_embed) time = time_embed->forward(time);
  if (const auto augments = active_augments(); augment_embed && augments.defined())
    time = time + augment_embed->forward(augments.to(dtype));
  std::vector<torch::Tensor> tokens = {time.unsqueeze(1),                   // [B, 1, D]
                                       patch_embed->forward(x.to(dtype))};  // [B, patches, D]
  torch::Tensor label;
  if (label_emb) label = label_emb->forward(condition).unsqueeze(1);  // [B, 1, D]
  if (label.defined()) tokens.insert(tokens.begin(), label);
  if (context_embed) tokens.insert(tokens.begin() + 1, context_embed->forward(condition.to(dtype)));
  // [label, time, patches] or [time, context, patches]
  const auto embedded = torch::cat(tokens, 1) + pos_embed;
  if (!class_pos_embed.defined()) return embedded;
  return torch::cat({label + class_pos_embed, embedded}, 1);  // run_blocks() takes them apart
}

torch::Tensor UViTImpl::decode(const torch::Tensor& h) {
  // Norm and decoder process each token separately, so the extra tokens can be removed first.
  const auto patches = norm->forward(h.slice(1, config_.extras()), pos_embed.scalar_type());
  const auto image = unpatchify(decoder_pred->forward(patches), config_.in_chans);  // [B, C, H, W]
  return final_layer ? final_layer->forward(image) : image;
}

/// True with our products, oneDNN's bfloat16 products and our fused kernels. The bits of OpenBLAS's
/// float32 products depend on the number of rows. Those of plain tensor code depend on the position
/// of a row in a vector.
bool UViTImpl::is_batch_invariant() const {
  return fused_kernels() && products_keep_rows_apart(compute_dtype()) && !passes_values_ &&
         config_.has_fused_blocks() && config_.fusion == 0;
}

int64_t UViTImpl::stacked_matrices(const std::string& name) const {
  const auto ends_with = [&](const std::string& end) {
    return name.size() >= end.size() &&
           name.compare(name.size() - end.size(), end.size(), end) == 0;
  };
  if (name == "fusion.weight") return 1;
  if (name.find("_block") == std::string::npos) return 0;  // in_blocks, mid_block, out_blocks
  if (ends_with(".qkv.weight")) return 3;
  if (ends_with(".w12.weight")) return 2;
  for (const auto* end : {".proj.weight",
                          ".fc1.weight",
                          ".fc2.weight",
                          ".w3.weight",
                          ".gate.weight",
                          ".skip_linear.weight"})
    if (ends_with(end)) return 1;
  return 0;
}

torch::Tensor UViTImpl::forward_routed(const torch::Tensor& x,
                                       const torch::Tensor& timesteps,
                                       const torch::Tensor& condition,
                                       const TokenRoute& route,
                                       BlockOutputs* outputs) {
  check(x, timesteps, condition);
  if (outputs) check_outputs(*outputs);
  if (route.kept.defined()) check_route(route, x.size(0));
  base::require(!route.dropped.defined() ||
                    (fusion && route.dropped.sizes() == torch::IntArrayRef({x.size(0)}) &&
                     route.dropped.scalar_type() == torch::kBool),
                "model: the dropped paths of a route are {}, wanted bool [{}] and a fusion",
                base::shape_text(route.dropped),
                x.size(0));
  return decode(run_blocks(embed(x, timesteps, condition), route, outputs)).to(x.scalar_type());
}

torch::Tensor UViTImpl::block_output(const torch::Tensor& x,
                                     const torch::Tensor& timesteps,
                                     const torch::Tensor& condition,
                                     int64_t block) {
  const torch::NoGradGuard no_grad;
  check(x, timesteps, condition);
  BlockOutputs outputs{{block}};
  check_outputs(outputs);
  run_blocks(embed(x, timesteps, condition), {}, &outputs, /*last_wanted=*/block);
  return outputs.tokens.front();
}

void UViTImpl::check_outputs(const BlockOutputs& outputs) const {
  for (const int64_t block : outputs.blocks)
    base::require(block >= 0 && block < config_.blocks(),
                  "model: the output of block {} is wanted, the blocks are 0 to {}",
                  block,
                  config_.blocks() - 1);
}

void UViTImpl::check_route(const TokenRoute& route, int64_t batch) const {
  base::require(2 * route.margin < config_.blocks(),
                "--route_margin {}: leaves none of the {} blocks to bypass; give at most {}",
                route.margin,
                config_.blocks(),
                (config_.blocks() - 1) / 2);
  base::require(
      !fusion || route.margin == config_.fusion,
      "--route_margin {}: model.fusion joins the paths {} blocks from either end; give {}",
      route.margin,
      config_.fusion,
      config_.fusion);
  base::require(!passes_values_,
                "--route_share: attention {} compares the values of blocks, which then see other "
                "tokens; set it to 0",
                config_.attention);
  base::require(route.kept.dim() == 2 && route.kept.size(0) == batch &&
                    route.kept.scalar_type() == torch::kInt64 && route.kept.size(1) > 0 &&
                    route.kept.size(1) <= config_.patches(),
                "model: the kept tokens of a route are {}, wanted int64 [{}, 1 to {}]",
                base::shape_text(route.kept),
                batch,
                config_.patches());
}

torch::Tensor UViTImpl::forward(const torch::Tensor& x,
                                const torch::Tensor& timesteps,
                                const torch::Tensor& condition) {
  check(x, timesteps, condition);
  if (torch::GradMode::is_enabled() || !x.is_cpu() || x.size(0) == 0)
    return decode(run_blocks(embed(x, timesteps, condition))).to(x.scalar_type());

  const bool blocks_together = is_batch_invariant();
  const bool inference = c10::InferenceMode::is_enabled();
  const auto active = active_probe();
  // Every image runs on one thread, also a single image: the bits of LibTorch's float32 products
  // depend on the number of threads.
  const auto each = [&](auto&& step) {
    return base::in_slices(x.size(0), x.size(0), [&](int64_t begin, int64_t end) {
      const c10::InferenceMode mode(inference);  // mode and probe are per thread
      const ProbeScope probe(active.probe, active.first + begin);
      const torch::NoGradGuard no_grad;
      return step([=](const torch::Tensor& t) { return base::slice_of(t, begin, end); });
    });
  };
  auto h = each([&](auto&& image) {
    const auto tokens = embed(image(x), image(timesteps), image(condition));
    return blocks_together ? tokens : decode(run_blocks(tokens));
  });
  if (blocks_together) {
    h = run_blocks(h);
    h = each([&](auto&& image) { return decode(image(h)); });
  }
  return h.to(x.scalar_type());
}

}  // namespace uvic::model
