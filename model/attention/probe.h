// Looking into the attention of a network while it runs, and replacing it, from outside.
#pragma once

#include <cstdint>

#include "base/torch.h"
#include "model/attention/attention.h"

namespace uvic::model {

/// One block of a forward pass, for some examples of its batch. Everything is detached.
struct BlockView {
  int64_t layer = 0;  ///< number of the block, from 0
  int64_t first = 0;  ///< the number, in the batch of forward(), of the first of these examples
  const AttentionKind* kind = nullptr;
  AttentionInput attention;                ///< q, k, v and what else the kind reads
  torch::Tensor x;                         ///< [B, L, dim] residual stream that attention adds to
  torch::Tensor tokens;                    ///< [B, L, dim] norm1(x), what the heads read
  torch::Tensor out;                       ///< [B, L, dim] residual stream after the block
  torch::Tensor norm_gain;                 ///< [dim] of norm1
  torch::Tensor value_weight;              ///< [H D, dim]: the product that gives the values
  torch::Tensor proj_weight, proj_bias{};  ///< [dim, H D], [dim]; the bias may be undefined
};

/// What looks at blocks, or replaces the attention inside them.
///
/// see() is given a second computation of q, k and v, in plain tensor code from the input of the
/// block. The block itself runs as it does without a probe: the prediction has the same bits. q, k
/// and v therefore equal those inside a fused kernel up to rounding.
class AttentionProbe {
 public:
  virtual ~AttentionProbe() = default;

  /// Whether see() is to be called; false saves the second computation.
  virtual bool sees() const { return true; }
  /// Blocks of an example come in order. Several threads may call it at once, each for examples of
  /// its own.
  virtual void see(const BlockView&) {}

  /// Whether take_output() is to be called.
  virtual bool takes_outputs() const { return false; }
  /// The residual stream after a block, [B, L, dim], with its graph. Not for blocks that are
  /// computed again in the backward pass (use_checkpoint): they have no graph here.
  virtual void take_output(int64_t /*layer*/, const torch::Tensor& /*out*/) {}

  /// Whether replacement() is asked in this block. The block then runs in plain tensor code.
  virtual bool replaces(int64_t /*layer*/) const { return false; }
  /// The output of the heads, [B, H, L, D], instead of attention(kind, in).
  virtual torch::Tensor replacement(int64_t /*layer*/,
                                    const AttentionKind& kind,
                                    const AttentionInput& in) const {
    return attention(kind, in);
  }
};

/// The probe of this thread; null: none.
struct ActiveProbe {
  AttentionProbe* probe = nullptr;
  int64_t first = 0;  ///< see BlockView
};
ActiveProbe active_probe();

/// Makes `probe` that of this thread, as long as it lives. A network that hands examples to other
/// threads hands the probe on with the number of the first of them.
class ProbeScope {
 public:
  explicit ProbeScope(AttentionProbe* probe, int64_t first = 0);
  ~ProbeScope();
  ProbeScope(const ProbeScope&) = delete;
  ProbeScope& operator=(const ProbeScope&) = delete;

 private:
  ActiveProbe before_;
};

}  // namespace uvic::model
