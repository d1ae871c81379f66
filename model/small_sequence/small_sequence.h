// Small networks of sequences: LSTM, MLP and cisformer, for the task-switching comparison.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/rnn.h>

#include "model/decoder_lm/decoder_lm_layers.h"
#include "model/sequence_network.h"
#include "model/small_sequence/small_sequence_config.h"

namespace uvic::model {

/// What the three have in common: embedding, final norm and head.
class SmallSequenceImpl : public SequenceNetwork {
 public:
  explicit SmallSequenceImpl(const SmallSequenceConfig& config);
  NetworkInput input() const override { return input_of(config_); }

 protected:
  torch::Tensor logits(const torch::Tensor& tokens) override;
  const torch::Tensor& first_parameter() const override { return norm_->weight; }
  /// h [B, L, D] in the dtype of the parameters, same back.
  virtual torch::Tensor body(const torch::Tensor& h) = 0;

  SmallSequenceConfig config_;

 private:
  torch::nn::Embedding embed_tokens_{nullptr};
  RmsNorm norm_{nullptr};
  Linear lm_head_{nullptr};
};

/// Layers of LSTM. Source: Hochreiter and Schmidhuber 1997.
class LstmImpl : public SmallSequenceImpl {
 public:
  explicit LstmImpl(const SmallSequenceConfig& config);
  bool takes_longer() const override { return true; }

 protected:
  torch::Tensor body(const torch::Tensor& h) override;

 private:
  torch::nn::LSTM lstm_{nullptr};
};

/// An MLP with GELU on the embeddings of the last `window` tokens, zeros before the first.
class TokenMlpImpl : public SmallSequenceImpl {
 public:
  explicit TokenMlpImpl(const SmallSequenceConfig& config);
  bool takes_longer() const override { return true; }

 protected:
  torch::Tensor body(const torch::Tensor& h) override;

 private:
  torch::nn::ModuleList layers_;
};

/// A linear map of its own for each place: y_l = W_l x_l, weight [places, in, out].
class PlacedLinearImpl : public torch::nn::Module {
 public:
  PlacedLinearImpl(int64_t places, int64_t in, int64_t out);
  torch::Tensor forward(const torch::Tensor& x);  ///< [B, L, in] -> [B, L, out]

  torch::Tensor weight;
};
TORCH_MODULE(PlacedLinear);

/// The transformer that is not invariant under translation: each place has its own projections to
/// queries, keys, values and output. The SwiGLU is shared. Source: Gros 2025, arXiv:2508.04461, as
/// we read it: that paper's code is not public.
class CisformerImpl : public SmallSequenceImpl {
 public:
  explicit CisformerImpl(const SmallSequenceConfig& config);
  bool takes_longer() const override { return false; }

 protected:
  torch::Tensor body(const torch::Tensor& h) override;

 private:
  torch::nn::ModuleList layers_;
};

}  // namespace uvic::model
