// The differences between LibTorch 1.13 and 2.
#pragma once

#include <torch/version.h>

#include "base/torch.h"

namespace uvic::base {

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 1)
inline constexpr bool kHasLibraryAttention = true;
#else
inline constexpr bool kHasLibraryAttention = false;
#endif

/// Softmax attention by the fused kernels of LibTorch, or an undefined tensor if it has none for
/// this call: with LibTorch 1.13, or on the CPU, where our kernels are used. q is [B, H, L, D], k
/// and v are [B, H, S, D]. `scale` multiplies q k^T. Causal: query i sees keys 0 .. S - L + i, for
/// L = S, and for L = 1, which sees all.
inline torch::Tensor library_softmax_attention(const torch::Tensor& q,
                                               const torch::Tensor& k,
                                               const torch::Tensor& v,
                                               double scale,
                                               bool causal) {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 1)
  const int64_t queries = q.size(2);
  if (q.is_cuda() && (!causal || queries == k.size(2) || queries == 1))
    return at::scaled_dot_product_attention(q, k, v, {}, 0.0, causal && queries > 1, scale);
#else
  (void)q, (void)k, (void)v, (void)scale, (void)causal;
#endif
  return {};
}

}  // namespace uvic::base
