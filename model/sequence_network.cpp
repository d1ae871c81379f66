#include "model/sequence_network.h"

#include <torch/nn/functional/loss.h>

#include "base/check.h"
#include "base/tensor_text.h"

namespace uvic::model {
namespace {

constexpr int64_t kNotCounted = -100;

/// The tokens themselves, for networks that read all of them again.
struct TokenMemory : SequenceMemory {
  torch::Tensor all;  ///< [B, n]
  int64_t bytes() const override { return all.defined() ? static_cast<int64_t>(all.nbytes()) : 0; }
  void add(const torch::Tensor& tokens) {
    all = all.defined() ? torch::cat({all, tokens}, 1) : tokens;
    tokens_ = all.size(1);
  }
};

}  // namespace

torch::Tensor SequenceNetwork::forward(const torch::Tensor& tokens,
                                       const torch::Tensor& timesteps,
                                       const torch::Tensor& condition) {
  base::require(
      !timesteps.defined() && !condition.defined(),
      "model: a network of sequences takes tokens only, neither timesteps nor a condition");
  check_tokens(tokens, 0);
  return logits(tokens);
}

std::unique_ptr<SequenceMemory> SequenceNetwork::new_memory() const {
  return std::make_unique<TokenMemory>();
}

torch::Tensor SequenceNetwork::extend(const torch::Tensor& tokens, SequenceMemory& memory) {
  check_tokens(tokens, memory.tokens());
  auto& seen = dynamic_cast<TokenMemory&>(memory);
  seen.add(tokens);
  return logits(seen.all).slice(1, seen.tokens() - tokens.size(1));
}

void SequenceNetwork::check_tokens(const torch::Tensor& tokens, int64_t before) const {
  const auto in = input();
  base::require(tokens.defined() && tokens.dim() == 2 && tokens.scalar_type() == torch::kInt64 &&
                    tokens.size(1) > 0,
                "model: tokens are {}, wanted int64 [batch, length]",
                tokens.defined() ? base::tensor_text(tokens) : "undefined");
  base::require(takes_longer() || before + tokens.size(1) <= in.length,
                "model: {} tokens, the network has {} positions; give shorter sequences",
                before + tokens.size(1),
                in.length);
  if (!tokens.is_cpu() || tokens.numel() == 0) return;
  const auto low = tokens.min().item<int64_t>(), high = tokens.max().item<int64_t>();
  base::require(low >= 0 && high < in.vocabulary,
                "model: token {}, the vocabulary has 0 to {}; is this the tokenizer that the "
                "network was trained with?",
                low < 0 ? low : high,
                in.vocabulary - 1);
}

SequenceNetworkPtr as_sequence_network(const NetworkPtr& network) {
  auto sequences = std::dynamic_pointer_cast<SequenceNetwork>(network);
  base::require(sequences != nullptr, "model: this is not a network of sequences");
  return sequences;
}

torch::Tensor token_loss(const torch::Tensor& logits, const torch::Tensor& targets, bool sum) {
  const auto wide = logits.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const auto counted = targets.masked_fill(targets < 0, kNotCounted);
  return torch::nn::functional::cross_entropy(
      logits.to(wide).flatten(0, 1),
      counted.flatten(),
      torch::nn::functional::CrossEntropyFuncOptions()
          .ignore_index(kNotCounted)
          .reduction(
              sum ? torch::nn::functional::CrossEntropyFuncOptions::reduction_t(torch::kSum)
                  : torch::nn::functional::CrossEntropyFuncOptions::reduction_t(torch::kMean)));
}

}  // namespace uvic::model
