// The backbone: a ViT with long skip connections, with a choice of attention for each block.
// U-ViT: Bao et al. 2023, arXiv:2209.12152. U-ViC: Lv et al. 2024, arXiv:2411.07176.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>

#include <cstdint>
#include <mutex>
#include <string>

#include "base/torch.h"
#include "model/layers.h"
#include "model/network.h"

namespace uvic::model {

/// The network. Parameters are named and shaped as in the official state_dict.
class UViTImpl : public Network {
 public:
  /// Initializes the weights from torch's global generator. Throws what UViTConfig::validate
  /// throws.
  explicit UViTImpl(const UViTConfig& config);

  using Network::forward;
  torch::Tensor forward(const torch::Tensor& x,
                        const torch::Tensor& timesteps,
                        const torch::Tensor& condition) override;
  NetworkInput input() const override { return input_of(config_); }
  bool is_batch_invariant() const override;
  int64_t stacked_matrices(const std::string& name) const override;
  torch::Tensor forward_routed(const torch::Tensor& x,
                               const torch::Tensor& timesteps,
                               const torch::Tensor& condition,
                               const TokenRoute& route,
                               BlockOutputs* outputs = nullptr) override;
  torch::Tensor block_output(const torch::Tensor& x,
                             const torch::Tensor& timesteps,
                             const torch::Tensor& condition,
                             int64_t block) override;
  int64_t routable_tokens() const override { return config_.patches(); }

  const UViTConfig& config() const { return config_; }

  torch::Tensor pos_embed;        ///< [1, tokens, embed_dim]
  torch::Tensor class_pos_embed;  ///< [1, class_tokens, embed_dim]; undefined without them
  PatchEmbed patch_embed{nullptr};
  torch::nn::Sequential time_embed{nullptr};  ///< null without mlp_time_embed
  torch::nn::Embedding label_emb{nullptr};    ///< null without num_classes
  Linear context_embed{nullptr};              ///< null without clip_dim
  Linear augment_embed{nullptr};              ///< without a bias; null without augment_dim
  torch::nn::ModuleList in_blocks, out_blocks;
  Block mid_block{nullptr};
  LayerNorm norm{nullptr};
  Linear decoder_pred{nullptr};
  Linear fusion{nullptr};                  ///< 2 embed_dim -> embed_dim; null without config.fusion
  torch::Tensor mask_token;                ///< [1, 1, embed_dim]; undefined without config.fusion
  torch::nn::Conv2d final_layer{nullptr};  ///< null without conv

 protected:
  const torch::Tensor& first_parameter() const override { return pos_embed; }

 private:
  void add_decoder();  ///< what follows the blocks, and a fusion of paths
  void scale_fresh_weights();
  void check(const torch::Tensor& x,
             const torch::Tensor& timesteps,
             const torch::Tensor& condition) const;
  void check_outputs(const BlockOutputs& outputs) const;
  void check_route(const TokenRoute& route, int64_t batch) const;
  torch::Tensor embed(const torch::Tensor& x,
                      const torch::Tensor& timesteps,
                      const torch::Tensor& condition);
  torch::Tensor run_blocks(torch::Tensor h,
                           const TokenRoute& route = {},
                           BlockOutputs* outputs = nullptr,
                           int64_t last_wanted = -1);
  torch::Tensor fused(torch::Tensor deep,
                      const torch::Tensor& shallow,
                      const torch::Tensor& dropped);
  torch::Tensor run_block(const std::shared_ptr<torch::nn::Module>& block,
                          const torch::Tensor& x,
                          const torch::Tensor& skip,
                          BlockCall call);
  std::shared_ptr<torch::nn::Module> block_at(int64_t number) const;
  torch::Tensor decode(const torch::Tensor& h);
  Rotations rotations_on(torch::Device device);
  UViTConfig config_;
  bool passes_values_ =
      false;  ///< whether the attention of any block reads the values of the block before
  Rotations rotations_;     ///< of all tokens, on the CPU; undefined without rope
  Rotations on_device_;     ///< the same where the network was evaluated last, if not on the CPU
  std::mutex device_copy_;  ///< protects on_device_
};
TORCH_MODULE(UViT);

}  // namespace uvic::model
