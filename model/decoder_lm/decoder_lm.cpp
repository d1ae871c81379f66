#include "model/decoder_lm/decoder_lm.h"

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>

#include <cmath>

#include "base/check.h"
#include "model/recompute.h"
#include "model/uvit/placement.h"

namespace uvic::model {

/// The keys and values of all layers.
struct DecoderLMImpl::Memory : SequenceMemory {
  std::vector<LayerCache> layers;
  void advance(int64_t tokens) { tokens_ += tokens; }
  int64_t bytes() const override {
    int64_t total = 0;
    for (const auto& layer : layers)
      for (const auto& kept : {layer.k, layer.v})
        if (kept.defined()) total += static_cast<int64_t>(kept.nbytes());
    return total;
  }
};

DecoderTrunkImpl::DecoderTrunkImpl(const DecoderLMConfig& c) {
  embed_tokens = register_module("embed_tokens", torch::nn::Embedding(c.vocab_size, c.hidden_size));
  if (c.positions == "learned")
    embed_positions = register_module(
        "embed_positions", torch::nn::Embedding(c.max_position_embeddings, c.hidden_size));
  layers = register_module("layers", torch::nn::ModuleList());
  int64_t layer = 0;
  for (const bool placed : place_attention(c.placement, c.num_hidden_layers)) {
    const auto& kind = attention_kind(placed ? c.attention : "softmax");
    layers->push_back(DecoderLayer(c, kind, layer++));
  }
  norm = register_module("norm", RmsNorm(c.hidden_size, c.rms_norm_eps));
}

DecoderLMImpl::DecoderLMImpl(const DecoderLMConfig& config) : config_(config) {
  config_.validate();
  for (const bool placed : place_attention(config_.placement, config_.num_hidden_layers)) {
    kinds_.push_back(&attention_kind(placed ? config_.attention : "softmax"));
    passes_values_ |= kinds_.back()->reads_v_previous;
  }
  model = register_module("model", DecoderTrunk(config_));
  if (!config_.tie_word_embeddings)
    lm_head = register_module("lm_head", Linear(config_.hidden_size, config_.vocab_size, false));
  const torch::NoGradGuard no_grad;
  model->embed_tokens->weight.normal_(0, 0.02);
  if (model->embed_positions) model->embed_positions->weight.normal_(0, 0.02);
  if (config_.init != "scaled") return;
  // 0.02 suits widths of several hundred. Projections of narrow networks start at 1/sqrt(inputs)
  // (LeCun et al., "Efficient BackProp", 1998), and embeddings at the size of a unit vector.
  for (const auto& module : modules(/*include_self=*/false))
    if (const auto linear = std::dynamic_pointer_cast<LinearImpl>(module))
      linear->weight.normal_(0, 1 / std::sqrt(static_cast<double>(linear->weight.size(1))));
  const double unit = 1 / std::sqrt(static_cast<double>(config_.hidden_size));
  model->embed_tokens->weight.normal_(0, unit);
  if (model->embed_positions) model->embed_positions->weight.normal_(0, unit);
}

bool DecoderLMImpl::takes_longer() const {
  for (const auto* kind : kinds_)
    if (!kind->uses_scores) return false;  // it has a weight for each offset
  return config_.positions != "learned";
}

std::unique_ptr<SequenceMemory> DecoderLMImpl::new_memory() const {
  auto memory = std::make_unique<Memory>();
  memory->layers.resize(kinds_.size());
  return memory;
}

torch::Tensor DecoderLMImpl::extend(const torch::Tensor& tokens, SequenceMemory& memory) {
  check_tokens(tokens, memory.tokens());
  const torch::NoGradGuard no_grad;
  return run(tokens, &dynamic_cast<Memory&>(memory));
}

torch::Tensor DecoderLMImpl::logits(const torch::Tensor& tokens) { return run(tokens, nullptr); }

torch::Tensor DecoderLMImpl::run_layer(const std::shared_ptr<DecoderLayerImpl>& layer,
                                       const torch::Tensor& x,
                                       LayerCall call) {
  if (!config_.use_checkpoint || call.cache) return layer->forward(x, call);
  auto* values = call.values;
  const auto run = [layer, call, values](const std::vector<torch::Tensor>& in) mutable {
    // In the backward pass `values` of the caller no longer exists: work on a copy, and assign it
    // only during the call.
    auto own = in[1];
    call.values = values || own.defined() ? &own : nullptr;
    auto out = layer->forward(in[0], call);
    if (values) *values = own;
    values = nullptr;
    return out;
  };
  return recompute_in_backward(run, {x, values ? *values : torch::Tensor()}, layer->parameters());
}

torch::Tensor DecoderLMImpl::run(const torch::Tensor& tokens, Memory* memory) {
  const int64_t before = memory ? memory->tokens() : 0, end = before + tokens.size(1);
  const auto compute = compute_dtype();
  auto h = model->embed_tokens->forward(tokens);  // [B, L, D]
  if (model->embed_positions)
    h = h + model->embed_positions->forward(torch::arange(before, end, tokens.options()));

  // Rotations of whole heads, and of the parts of heads that some kinds rotate by themselves: of all
  // places up to here, because keys of low rank are rotated after the cache.
  Rotations whole, parts;
  const auto rotations = [&](int64_t width) {
    const auto dtype = compute == torch::kFloat64 ? compute : torch::kFloat32;
    return rotation_tables_.get(config_, width, end, h.device(), dtype);
  };
  torch::Tensor values;
  for (size_t i = 0; i < kinds_.size(); ++i) {
    LayerCall call;
    call.compute = compute;
    call.values = passes_values_ ? &values : nullptr;
    call.before = before;
    if (memory) call.cache = &memory->layers[i];
    if (config_.positions == "rope") {
      const int64_t width = config_.head_width();
      auto& own = kinds_[i]->score_parts == 1 ? whole : parts;
      if (!own.defined()) own = rotations(width / kinds_[i]->score_parts);
      call.all_rotations = own;
      call.rotations = own.slice(before, end);
    }
    h = run_layer(model->layers->ptr<DecoderLayerImpl>(i), h, call);
  }
  if (memory) memory->advance(tokens.size(1));
  const auto normed = model->norm->forward(h, compute);
  // The head is a large product: it runs in the compute dtype, and its result is widened.
  const auto out = lm_head ? lm_head->forward(normed)
                           : torch::linear(normed, model->embed_tokens->weight.to(compute));
  return out.to(first_parameter().scalar_type());  // [B, L, V]
}

int64_t DecoderLMImpl::stacked_matrices(const std::string& name) const {
  const std::string begin = "model.layers.", end = "_proj.weight";
  return name.rfind(begin, 0) == 0 && name.size() > end.size() &&
                 name.compare(name.size() - end.size(), end.size(), end) == 0
             ? 1
             : 0;
}

}  // namespace uvic::model
