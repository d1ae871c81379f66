#include "model/latent/autoencoder_layers.h"

#include <cmath>

#include "model/attention/attention.h"
#include "model/kernel_choice.h"
#include "model/kernels/cpu/image_kernels.h"
#include "model/latent/shared_norms.h"

namespace uvic::model {
namespace {

constexpr double kGroupNormEpsilon = 1e-6;

}  // namespace

ConvImpl::ConvImpl(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding)
    : stride_(stride), padding_(padding) {
  weight = register_parameter("weight", torch::empty({out, in, kernel, kernel}));
  bias = register_parameter("bias", torch::empty({out}));
}

void ConvImpl::initialise() {
  torch::NoGradGuard no_grad;
  const double bound =
      1 / std::sqrt(static_cast<double>(weight.size(1) * weight.size(2) * weight.size(3)));
  weight.uniform_(-bound, bound);  // kaiming_uniform with a = sqrt(5), as PyTorch's Conv2d has it
  bias.uniform_(-bound, bound);
}

std::shared_ptr<const PackedConv3x3> ConvImpl::packed_for(const torch::Tensor& x) {
  if (torch::GradMode::is_enabled() || weight.requires_grad() || !fused_kernels() || stride_ != 1 ||
      padding_ != 1 || x.scalar_type() != torch::kFloat32 || !image_kernels_serve(x) ||
      !PackedConv3x3::serves(weight))
    return nullptr;
  const std::lock_guard<std::mutex> lock(packing_);
  if (!packed_ || &packed_->kernels() != &active_image_kernels())
    packed_ = std::make_shared<const PackedConv3x3>(weight);
  return packed_;
}

void ConvImpl::forget_packed() {
  const std::lock_guard<std::mutex> lock(packing_);
  packed_ = nullptr;
}

torch::Tensor ConvImpl::forward(const torch::Tensor& x) {
  if (const auto packed = packed_for(x)) return image_conv3x3(x, *packed, bias, {}, false);
  return torch::conv2d(x.to(weight.scalar_type()), weight, bias, stride_, padding_);
}

torch::Tensor ConvImpl::add_to(const torch::Tensor& residual, const torch::Tensor& x) {
  if (const auto packed = packed_for(x);
      packed && image_kernels_serve(residual) && residual.scalar_type() == torch::kFloat32)
    return image_conv3x3(x, *packed, bias, residual, false);
  return residual + forward(x);
}

torch::Tensor ConvImpl::of_enlarged(const torch::Tensor& x) {
  if (const auto packed = packed_for(x)) return image_conv3x3(x, *packed, bias, {}, true);
  return forward(torch::upsample_nearest2d(x, {2 * x.size(2), 2 * x.size(3)}));
}

GroupNormImpl::GroupNormImpl(int64_t groups, int64_t channels) : groups_(groups) {
  weight = register_parameter("weight", torch::ones(channels));
  bias = register_parameter("bias", torch::zeros(channels));
}

torch::Tensor GroupNormImpl::forward(const torch::Tensor& x, bool silu) {
  if (auto* shared = SharedNorms::active()) {
    const auto moments = shared->next(x, groups_, weight.scalar_type());
    const auto variance = (moments.square - moments.mean.square()).clamp_min(0);
    const auto of_channels = [&](const torch::Tensor& t) {
      return t.to(weight.scalar_type()).repeat_interleave(weight.size(0) / groups_);
    };
    const auto scale = weight * of_channels((variance + kGroupNormEpsilon).rsqrt());
    const auto shift = bias - of_channels(moments.mean) * scale;
    auto y = x.to(weight.scalar_type()) * scale.view({1, -1, 1, 1}) + shift.view({1, -1, 1, 1});
    if (silu) y = torch::silu(y);
    return y.to(x.scalar_type());
  }
  if (!torch::GradMode::is_enabled() && fused_kernels() && image_kernels_serve(x) &&
      weight.scalar_type() == torch::kFloat32)
    return image_group_norm(x, groups_, weight, bias, kGroupNormEpsilon, silu);
  auto y = torch::group_norm(x.to(weight.scalar_type()), groups_, weight, bias, kGroupNormEpsilon);
  if (silu) y = torch::silu(y);
  return y.to(x.scalar_type());
}

ResnetBlockImpl::ResnetBlockImpl(int64_t in, int64_t out, int64_t groups) {
  norm1 = register_module("norm1", GroupNorm(groups, in));
  conv1 = register_module("conv1", Conv(in, out, 3, 1, 1));
  norm2 = register_module("norm2", GroupNorm(groups, out));
  conv2 = register_module("conv2", Conv(out, out, 3, 1, 1));
  if (in != out) nin_shortcut = register_module("nin_shortcut", Conv(in, out, 1));
}

torch::Tensor ResnetBlockImpl::forward(const torch::Tensor& x) {
  const auto h = conv1->forward(norm1->forward(x, /*silu=*/true));
  const auto shortcut = nin_shortcut ? nin_shortcut->forward(x) : x;
  return conv2->add_to(shortcut, norm2->forward(h, /*silu=*/true));
}

AttentionBlockImpl::AttentionBlockImpl(int64_t channels, int64_t groups) {
  norm = register_module("norm", GroupNorm(groups, channels));
  q = register_module("q", Conv(channels, channels, 1));
  k = register_module("k", Conv(channels, channels, 1));
  v = register_module("v", Conv(channels, channels, 1));
  proj_out = register_module("proj_out", Conv(channels, channels, 1));
}

torch::Tensor AttentionBlockImpl::forward(const torch::Tensor& x) {
  const int64_t batch = x.size(0), channels = x.size(1), height = x.size(2), width = x.size(3);
  const auto dtype = q->weight.scalar_type();
  const auto places = norm->forward(x, /*silu=*/false)
                          .to(dtype)
                          .permute({0, 2, 3, 1})
                          .reshape({batch, height * width, channels});  // [B, L, C]
  const auto stacked = torch::cat({q->weight, k->weight, v->weight}).view({3 * channels, channels});
  const auto qkv = torch::linear(places, stacked, torch::cat({q->bias, k->bias, v->bias}));
  const auto attended = self_attention(attention_kind("softmax"),
                                       qkv,
                                       /*heads=*/1,
                                       1 / std::sqrt(static_cast<double>(channels)));
  const auto out =
      torch::linear(attended, proj_out->weight.view({channels, channels}), proj_out->bias);
  return x + out.view({batch, height, width, channels}).permute({0, 3, 1, 2}).to(x.scalar_type());
}

LevelImpl::LevelImpl(int64_t in, int64_t out, int64_t blocks, bool attention, int64_t groups) {
  const auto block_parts = register_module("block", Parts());
  auto attn_parts = attention ? Parts(register_module("attn", Parts())) : Parts(nullptr);
  for (int64_t i = 0; i < blocks; ++i) {
    const auto name = std::to_string(i);
    block.push_back(
        block_parts->register_module(name, ResnetBlock(i == 0 ? in : out, out, groups)));
    if (attention) attn.push_back(attn_parts->register_module(name, AttentionBlock(out, groups)));
  }
}

void LevelImpl::add_resample(const char* name, Conv conv) {
  resample = register_module(name, Parts())->register_module("conv", std::move(conv));
}

torch::Tensor LevelImpl::forward(torch::Tensor x) {
  for (size_t i = 0; i < block.size(); ++i) {
    x = block[i]->forward(x);
    if (!attn.empty()) x = attn[i]->forward(x);
  }
  return x;
}

MiddleImpl::MiddleImpl(int64_t channels, bool attention, int64_t groups) {
  block_1 = register_module("block_1", ResnetBlock(channels, channels, groups));
  if (attention) attn_1 = register_module("attn_1", AttentionBlock(channels, groups));
  block_2 = register_module("block_2", ResnetBlock(channels, channels, groups));
}

torch::Tensor MiddleImpl::forward(torch::Tensor x) {
  x = block_1->forward(x);
  if (attn_1) x = attn_1->forward(x);
  return block_2->forward(x);
}

EncoderImpl::EncoderImpl(const AutoencoderKlConfig& config) {
  conv_in = register_module("conv_in", Conv(config.in_channels, config.base_channels, 3, 1, 1));
  const auto parts = register_module("down", Parts());
  int64_t channels = config.base_channels;
  for (int64_t i = 0; i < config.levels(); ++i) {
    const auto out = config.channels(i);
    Level level(channels, out, config.blocks, config.has_attention(i), config.norm_groups);
    if (i + 1 < config.levels()) level->add_resample("downsample", Conv(out, out, 3, 2));
    down.push_back(parts->register_module(std::to_string(i), level));
    channels = out;
  }
  mid = register_module("mid", Middle(channels, config.mid_attention, config.norm_groups));
  norm_out = register_module("norm_out", GroupNorm(config.norm_groups, channels));
  conv_out = register_module("conv_out", Conv(channels, 2 * config.inner_channels, 3, 1, 1));
}

torch::Tensor EncoderImpl::descend(torch::Tensor x) {
  x = conv_in->forward(x);
  for (auto& level : down) {
    x = level->forward(x);
    // One row and column of zeros, below and to the right, and no padding in the convolution.
    if (level->resample) x = level->resample->forward(torch::constant_pad_nd(x, {0, 1, 0, 1}));
  }
  return x;
}

torch::Tensor EncoderImpl::finish(torch::Tensor x) {
  return conv_out->forward(norm_out->forward(mid->forward(x), /*silu=*/true));
}

DecoderImpl::DecoderImpl(const AutoencoderKlConfig& config) {
  int64_t channels = config.channels(config.levels() - 1);
  conv_in = register_module("conv_in", Conv(config.inner_channels, channels, 3, 1, 1));
  mid = register_module("mid", Middle(channels, config.mid_attention, config.norm_groups));
  const auto parts = register_module("up", Parts());
  for (int64_t i = config.levels() - 1; i >= 0; --i) {
    const auto out = config.channels(i);
    Level level(channels, out, config.blocks + 1, config.has_attention(i), config.norm_groups);
    if (i > 0) level->add_resample("upsample", Conv(out, out, 3, 1, 1));
    up.insert(up.begin(), parts->register_module(std::to_string(i), level));
    channels = out;
  }
  norm_out = register_module("norm_out", GroupNorm(config.norm_groups, channels));
  conv_out = register_module("conv_out", Conv(channels, config.out_channels, 3, 1, 1));
}

torch::Tensor DecoderImpl::begin(torch::Tensor z) { return mid->forward(conv_in->forward(z)); }

torch::Tensor DecoderImpl::ascend(torch::Tensor x) {
  for (auto level = up.rbegin(); level != up.rend(); ++level) {
    x = (*level)->forward(x);
    if ((*level)->resample) x = (*level)->resample->of_enlarged(x);
  }
  return conv_out->forward(norm_out->forward(x, /*silu=*/true));
}

AutoencoderNetImpl::AutoencoderNetImpl(const AutoencoderKlConfig& config,
                                       bool with_encoder,
                                       bool with_decoder) {
  config.validate();
  const auto z = config.latent_channels, inner = config.inner_channels;
  if (with_encoder) {
    encoder = register_module("encoder", Encoder(config));
    if (config.quant_conv) quant_conv = register_module("quant_conv", Conv(2 * inner, 2 * z, 1));
  }
  if (with_decoder) {
    decoder = register_module("decoder", Decoder(config));
    if (config.post_quant_conv)
      post_quant_conv = register_module("post_quant_conv", Conv(z, inner, 1));
  }
}

torch::Tensor AutoencoderNetImpl::moments(const torch::Tensor& x) {
  const auto h = encoder->forward(x);
  return quant_conv ? quant_conv->forward(h) : h;
}

torch::Tensor AutoencoderNetImpl::image(const torch::Tensor& z) {
  return decoder->forward(post_quant_conv ? post_quant_conv->forward(z) : z);
}

void AutoencoderNetImpl::initialise() {
  for (const auto& module : modules(/*include_self=*/false))
    if (auto* conv = module->as<ConvImpl>()) conv->initialise();
}

}  // namespace uvic::model
