#include "model/small_sequence/small_sequence.h"

#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/rnn.h>

#include <cmath>

#include "base/check.h"

namespace uvic::model {
namespace {

constexpr double kEpsilon = 1e-6;

double over_root(int64_t inputs) { return 1 / std::sqrt(static_cast<double>(inputs)); }

/// Fresh weights of a standard deviation of 1/sqrt(inputs): these networks are narrow.
Linear scaled_linear(int64_t in, int64_t out, bool bias) {
  Linear linear(in, out, bias);
  const torch::NoGradGuard no_grad;
  linear->weight.normal_(0, over_root(in));
  return linear;
}

/// One layer of a cisformer, without its causal attention call.
class CisLayerImpl : public torch::nn::Module {
 public:
  explicit CisLayerImpl(const SmallSequenceConfig& c)
      : heads_(c.num_heads), kind_(&attention_kind(c.attention)) {
    const int64_t d = c.hidden_size;
    if (kind_->uses_scores) {
      q_ = register_module("q_proj", PlacedLinear(c.length, d, d));
      k_ = register_module("k_proj", PlacedLinear(c.length, d, d));
    }
    v_ = register_module("v_proj", PlacedLinear(c.length, d, d));
    o_ = register_module("o_proj", PlacedLinear(c.length, d, d));
    if (kind_->gated) gate_ = register_module("gate_proj", scaled_linear(d, d, true));
    mlp_ = register_module("mlp", SwiGlu(d, c.intermediate_size, false));
    norm1_ = register_module("input_layernorm", RmsNorm(d, kEpsilon));
    norm2_ = register_module("post_attention_layernorm", RmsNorm(d, kEpsilon));
    parameters_ = register_kind_parameters(*this, *kind_, {heads_, d / heads_, c.length});
    const torch::NoGradGuard no_grad;
    for (auto& linear : {mlp_->gate_proj, mlp_->up_proj, mlp_->down_proj})
      torch::Tensor(linear->weight).normal_(0, over_root(linear->weight.size(1)));
  }

  torch::Tensor forward(torch::Tensor x,
                        torch::Dtype compute,
                        torch::Tensor& values,
                        int64_t layer) {
    const auto normed = norm1_->forward(x, compute);
    const auto split = [&](const torch::Tensor& t) {
      return t.unflatten(2, {heads_, t.size(2) / heads_}).transpose(1, 2);
    };
    AttentionInput in;
    in.v = split(v_->forward(normed));
    in.q = q_ ? split(q_->forward(normed)) : in.v;
    in.k = k_ ? split(k_->forward(normed)) : in.v;
    in.v_previous = values;
    values = in.v.detach();
    if (gate_) in.gate = split(gate_->forward(normed));
    in.scale = over_root(in.q.size(3));
    in.causal = true;
    in.layer = layer;
    in.parameters = parameters_;
    x = x + o_->forward(attention(*kind_, in).transpose(1, 2).flatten(2));
    return x + mlp_->forward(norm2_->forward(x, compute));
  }

 private:
  int64_t heads_;
  const AttentionKind* kind_;
  PlacedLinear q_{nullptr}, k_{nullptr}, v_{nullptr}, o_{nullptr};
  Linear gate_{nullptr};
  SwiGlu mlp_{nullptr};
  RmsNorm norm1_{nullptr}, norm2_{nullptr};
  std::vector<torch::Tensor> parameters_;
};
TORCH_MODULE(CisLayer);

}  // namespace

SmallSequenceImpl::SmallSequenceImpl(const SmallSequenceConfig& config) : config_(config) {
  const int64_t d = config.hidden_size;
  embed_tokens_ = register_module("embed_tokens", torch::nn::Embedding(config.vocab_size, d));
  norm_ = register_module("norm", RmsNorm(d, kEpsilon));
  lm_head_ = register_module("lm_head", scaled_linear(d, config.vocab_size, false));
}

torch::Tensor SmallSequenceImpl::logits(const torch::Tensor& tokens) {
  const auto h = body(embed_tokens_->forward(tokens));
  const auto dtype = first_parameter().scalar_type();
  return lm_head_->forward(norm_->forward(h, compute_dtype())).to(dtype);
}

LstmImpl::LstmImpl(const SmallSequenceConfig& config) : SmallSequenceImpl(config) {
  kLstm.validate(config);
  lstm_ =
      register_module("lstm",
                      torch::nn::LSTM(torch::nn::LSTMOptions(config.hidden_size, config.hidden_size)
                                          .num_layers(config.num_layers)
                                          .batch_first(true)));
}

torch::Tensor LstmImpl::body(const torch::Tensor& h) { return std::get<0>(lstm_->forward(h)); }

TokenMlpImpl::TokenMlpImpl(const SmallSequenceConfig& config) : SmallSequenceImpl(config) {
  kTokenMlp.validate(config);
  layers_ = register_module("window_mlp", torch::nn::ModuleList());
  const int64_t d = config.hidden_size;
  for (int64_t i = 0; i < config.num_layers; ++i)
    layers_->push_back(scaled_linear(i == 0 ? config.window * d : d, d, true));
}

torch::Tensor TokenMlpImpl::body(const torch::Tensor& h) {
  const auto padded = torch::constant_pad_nd(h, {0, 0, config_.window - 1, 0});
  auto x = padded
               .unfold(1, config_.window, 1)  // [B, L, D, window]
               .transpose(2, 3)
               .flatten(2)
               .to(compute_dtype());
  for (const auto& layer : *layers_)
    x = torch::gelu(std::static_pointer_cast<LinearImpl>(layer)->forward(x));
  return x.to(h.scalar_type());
}

PlacedLinearImpl::PlacedLinearImpl(int64_t places, int64_t in, int64_t out) {
  weight = register_parameter("weight", torch::randn({places, in, out}) * over_root(in));
}

torch::Tensor PlacedLinearImpl::forward(const torch::Tensor& x) {
  const auto own = weight.slice(0, 0, x.size(1)).to(x.scalar_type());  // [L, in, out]
  return x.transpose(0, 1).bmm(own).transpose(0, 1);                   // [B, L, out]
}

CisformerImpl::CisformerImpl(const SmallSequenceConfig& config) : SmallSequenceImpl(config) {
  kCisformer.validate(config);
  layers_ = register_module("cis_layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < config.num_layers; ++i) layers_->push_back(CisLayer(config));
}

torch::Tensor CisformerImpl::body(const torch::Tensor& h) {
  auto x = h;
  torch::Tensor values;
  int64_t layer = 0;
  for (const auto& module : *layers_)
    x = std::static_pointer_cast<CisLayerImpl>(module)->forward(
        x, compute_dtype(), values, layer++);
  return x;
}

}  // namespace uvic::model
