// The interface of networks of sequences: tokens in, the logits of the token after each out.
#pragma once

#include <cstdint>
#include <memory>

#include "base/torch.h"
#include "model/network.h"

namespace uvic::model {

/// What a network remembers of the tokens that it has seen, so that it need not read them again.
class SequenceMemory {
 public:
  virtual ~SequenceMemory() = default;
  int64_t tokens() const { return tokens_; }  ///< how many it holds
  virtual int64_t bytes() const = 0;          ///< what it takes, room for further tokens included

 protected:
  int64_t tokens_ = 0;
};

class SequenceNetwork : public Network {
 public:
  using Network::forward;
  /// tokens int64 [B, L] -> logits of the next token [B, L, vocabulary], in the dtype of the
  /// parameters. Logits at a place depend on the tokens up to there only. Neither timesteps nor a
  /// condition. Throws std::invalid_argument for other inputs, for tokens outside the vocabulary
  /// (on the CPU) and for more tokens than the network has positions for.
  torch::Tensor forward(const torch::Tensor& tokens,
                        const torch::Tensor& timesteps,
                        const torch::Tensor& condition) final;

  /// An empty memory.
  virtual std::unique_ptr<SequenceMemory> new_memory() const;

  /// The logits of `tokens` [B, n], which follow those in `memory`, [B, n, vocabulary]; adds them
  /// to the memory. Equal to the last n logits of forward() for all tokens together, up to
  /// rounding. Call it without gradients. The batch must be that of the earlier calls.
  virtual torch::Tensor extend(const torch::Tensor& tokens, SequenceMemory& memory);

  /// Whether sequences beyond input().length can be computed, if not well.
  virtual bool takes_longer() const = 0;

  bool is_batch_invariant() const override { return false; }

 protected:
  virtual torch::Tensor logits(const torch::Tensor& tokens) = 0;

  /// Throws std::invalid_argument for what forward() refuses; `before` tokens precede these.
  void check_tokens(const torch::Tensor& tokens, int64_t before) const;
};

using SequenceNetworkPtr = std::shared_ptr<SequenceNetwork>;

/// The network as one of sequences. Throws std::invalid_argument where it is not.
SequenceNetworkPtr as_sequence_network(const NetworkPtr& network);

/// The mean cross entropy in nats of logits [B, L, V] for targets int64 [B, L]; negative targets do
/// not count. `sum`: the sum instead. Computed in float32 or wider.
torch::Tensor token_loss(const torch::Tensor& logits, const torch::Tensor& targets, bool sum);

}  // namespace uvic::model
