// The layers of a KL autoencoder. Modules are named as in the official state_dict, so that weights
// travel unchanged. All take and return [B, C, H, W]; on the CPU channels-last memory is fastest.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/torch.h"
#include "model/latent/autoencoder_config.h"

namespace uvic::model {

class PackedConv3x3;

/// y = x * W + b, a convolution in the dtype of its weight, with PyTorch's initialisation.
///
/// Without gradients, on the CPU and in float32, wide 3x3 convolutions with stride 1 run by
/// image_conv3x3() with weights that are packed once; all others by the library.
class ConvImpl : public torch::nn::Module {
 public:
  ConvImpl(int64_t in, int64_t out, int64_t kernel, int64_t stride = 1, int64_t padding = 0);
  torch::Tensor forward(const torch::Tensor& x);
  torch::Tensor add_to(const torch::Tensor& residual, const torch::Tensor& x);  ///< residual + y
  torch::Tensor of_enlarged(const torch::Tensor& x);  ///< of x twice as large, nearest neighbours
  void initialise();     ///< weights are undefined memory before this or a load
  void forget_packed();  ///< to be called after a change of the weight

  torch::Tensor weight;  ///< [out, in, kernel, kernel]
  torch::Tensor bias;    ///< [out]

 private:
  std::shared_ptr<const PackedConv3x3> packed_for(const torch::Tensor& x);

  int64_t stride_, padding_;
  std::mutex packing_;
  std::shared_ptr<const PackedConv3x3> packed_;
};
TORCH_MODULE(Conv);

/// y = (x - mean) / sqrt(var + 1e-6) * weight + bias over each group of channels of an image, and
/// then y * sigmoid(y) where asked for. Statistics are in float32 or wider; where SharedNorms exist
/// they are from there.
class GroupNormImpl : public torch::nn::Module {
 public:
  GroupNormImpl(int64_t groups, int64_t channels);
  torch::Tensor forward(const torch::Tensor& x, bool silu);  ///< in the dtype of x

  torch::Tensor weight, bias;  ///< [channels]

 private:
  int64_t groups_;
};
TORCH_MODULE(GroupNorm);

/// x + conv2(silu(norm2(conv1(silu(norm1(x)))))), with a 1x1 convolution of x where channels
/// change.
class ResnetBlockImpl : public torch::nn::Module {
 public:
  ResnetBlockImpl(int64_t in, int64_t out, int64_t groups);
  torch::Tensor forward(const torch::Tensor& x);

  GroupNorm norm1{nullptr}, norm2{nullptr};
  Conv conv1{nullptr}, conv2{nullptr}, nin_shortcut{nullptr};
};
TORCH_MODULE(ResnetBlock);

/// x + proj_out(softmax(q k^T / sqrt(C)) v) over the places of an image: one head, C wide.
class AttentionBlockImpl : public torch::nn::Module {
 public:
  AttentionBlockImpl(int64_t channels, int64_t groups);
  torch::Tensor forward(const torch::Tensor& x);

  GroupNorm norm{nullptr};
  Conv q{nullptr}, k{nullptr}, v{nullptr}, proj_out{nullptr};
};
TORCH_MODULE(AttentionBlock);

/// The official code's Module of attributes: a name for what is below it, called by its owner.
class PartsImpl : public torch::nn::Module {};
TORCH_MODULE(Parts);

/// block.0 .. block.n, each followed by attn.i where there is one.
class LevelImpl : public torch::nn::Module {
 public:
  LevelImpl(int64_t in, int64_t out, int64_t blocks, bool attention, int64_t groups);
  torch::Tensor forward(torch::Tensor x);

  std::vector<ResnetBlock> block;
  std::vector<AttentionBlock> attn;
  Conv resample{nullptr};  ///< downsample.conv or upsample.conv, or none
  void add_resample(const char* name, Conv conv);
};
TORCH_MODULE(Level);

/// block_1, attn_1, block_2.
class MiddleImpl : public torch::nn::Module {
 public:
  MiddleImpl(int64_t channels, bool attention, int64_t groups);
  torch::Tensor forward(torch::Tensor x);

  ResnetBlock block_1{nullptr}, block_2{nullptr};
  AttentionBlock attn_1{nullptr};
};
TORCH_MODULE(Middle);

/// Images to what quant_conv makes moments of.
class EncoderImpl : public torch::nn::Module {
 public:
  explicit EncoderImpl(const AutoencoderKlConfig& config);
  torch::Tensor forward(const torch::Tensor& x) { return finish(descend(x)); }

  torch::Tensor descend(torch::Tensor x);  ///< -> the lowest resolution; sees places near by alone
  torch::Tensor finish(torch::Tensor x);   ///< the middle, which sees the whole image, and the end

  Conv conv_in{nullptr}, conv_out{nullptr};
  std::vector<Level> down;
  Middle mid{nullptr};
  GroupNorm norm_out{nullptr};
};
TORCH_MODULE(Encoder);

/// What post_quant_conv makes of z, to images.
class DecoderImpl : public torch::nn::Module {
 public:
  explicit DecoderImpl(const AutoencoderKlConfig& config);
  torch::Tensor forward(const torch::Tensor& z) { return ascend(begin(z)); }

  torch::Tensor begin(torch::Tensor z);   ///< the middle, which sees the whole image
  torch::Tensor ascend(torch::Tensor x);  ///< -> the image; sees places near by alone

  Conv conv_in{nullptr}, conv_out{nullptr};
  std::vector<Level> up;  ///< up[0] has the highest resolution
  Middle mid{nullptr};
  GroupNorm norm_out{nullptr};
};
TORCH_MODULE(Decoder);

/// Encoder, decoder and the 1x1 convolutions around z; halves may be left out.
class AutoencoderNetImpl : public torch::nn::Module {
 public:
  explicit AutoencoderNetImpl(const AutoencoderKlConfig& config,
                              bool with_encoder = true,
                              bool with_decoder = true);
  torch::Tensor moments(const torch::Tensor& x);  ///< -> [B, 2 z, h, w], log variance not clamped
  torch::Tensor image(const torch::Tensor& z);    ///< [B, z, h, w] -> [B, 3, f h, f w]
  void initialise();                              ///< new weights from torch's global generator

  Encoder encoder{nullptr};
  Decoder decoder{nullptr};
  Conv quant_conv{nullptr}, post_quant_conv{nullptr};
};
TORCH_MODULE(AutoencoderNet);

}  // namespace uvic::model
