// Which calls of attention keep their scores for the backward pass, for estimates of memory.
#pragma once

#include "base/torch_compat.h"
#include "model/attention/attention.h"

namespace uvic::model {

struct ActivationSettings;

/// Whether the forward pass of attention() keeps [L, L] scores of each head until the backward
/// pass, as plain tensor code does and fused kernels don't. The call is causal, of as many queries
/// as keys with heads of `width`.
///
/// On a GPU our kernels take 16 bits and heads of a multiple of 8 up to 128. Softmax, and kinds
/// that are made of it, go to LibTorch's attention where it has one (`has_library`). Its kernels
/// take float32 too, and heads of a multiple of 16 bytes. For softmax_one, which adds a key to
/// those that a query sees, it has none.
bool keeps_scores(const AttentionKind& kind,
                  int64_t width,
                  const ActivationSettings& settings,
                  bool has_library = base::kHasLibraryAttention);

}  // namespace uvic::model
