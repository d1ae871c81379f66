// A decoder-only language model of Llama's architecture, with a choice of attention for each layer.
// Cogformer (Lv et al. 2024, arXiv:2411.07176) is this network with Cog Attention in all layers but
// the first and the last.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>

#include <memory>
#include <vector>

#include "base/torch.h"
#include "model/decoder_lm/decoder_lm_layers.h"
#include "model/sequence_network.h"

namespace uvic::model {

/// "model" of a Llama checkpoint: everything but the head.
class DecoderTrunkImpl : public torch::nn::Module {
 public:
  explicit DecoderTrunkImpl(const DecoderLMConfig& config);

  torch::nn::Embedding embed_tokens{nullptr};
  torch::nn::Embedding embed_positions{nullptr};  ///< null unless positions are learned
  torch::nn::ModuleList layers;
  RmsNorm norm{nullptr};
};
TORCH_MODULE(DecoderTrunk);

/// The network. Parameters are named and shaped as in Hugging Face's LlamaForCausalLM.
class DecoderLMImpl : public SequenceNetwork {
 public:
  /// Initializes the weights from torch's global generator. Throws what validate() throws.
  explicit DecoderLMImpl(const DecoderLMConfig& config);

  NetworkInput input() const override { return input_of(config_); }
  std::unique_ptr<SequenceMemory> new_memory() const override;
  torch::Tensor extend(const torch::Tensor& tokens, SequenceMemory& memory) override;
  bool takes_longer() const override;
  int64_t stacked_matrices(const std::string& name) const override;

  const DecoderLMConfig& config() const { return config_; }

  DecoderTrunk model{nullptr};
  Linear lm_head{nullptr};  ///< null where it is the embedding

 protected:
  torch::Tensor logits(const torch::Tensor& tokens) override;
  const torch::Tensor& first_parameter() const override { return model->norm->weight; }

 private:
  struct Memory;
  torch::Tensor run(const torch::Tensor& tokens, Memory* memory);
  torch::Tensor run_layer(const std::shared_ptr<DecoderLayerImpl>& layer,
                          const torch::Tensor& x,
                          LayerCall call);

  DecoderLMConfig config_;
  RotationTables rotation_tables_;
  std::vector<const AttentionKind*> kinds_;  ///< of each layer
  bool passes_values_ = false;  ///< whether any layer reads the values of the layer before
};
TORCH_MODULE(DecoderLM);

}  // namespace uvic::model
