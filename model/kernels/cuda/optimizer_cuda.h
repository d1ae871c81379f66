// AdamW, the average of the weights and their bf16 copy in one pass over device memory, for all
// parameters at once, and the norm of all gradients. Without LibTorch.
//
// Nothing waits for the host: the values that change between steps (AdamwValues) and the norm for
// clipping are in device memory. Both calls can be captured in a graph and replayed.
#pragma once

#include <stdint.h>

#include <vector>

namespace uvic::model::cuda {

/// A parameter and its state: float32, `count` elements each. ema and narrow may be null. grad is
/// null for a parameter without gradient, which keeps its value while its average is updated.
struct AdamwTensor {
  float* param;
  const float* grad;
  float *mean, *square;  ///< running averages of the gradient and of its square
  float* ema;
  uint16_t* narrow;  ///< the new parameter as bf16
  int64_t count;
};

/// The work of a block: elements begin to begin + kAdamwElements of one tensor.
struct AdamwBlock {
  int64_t tensor, begin;
};
constexpr int64_t kAdamwElements = 4096;

/// The work of all blocks, in order.
std::vector<AdamwBlock> adamw_blocks(const std::vector<AdamwTensor>& tensors);

/// The values of one step, as in AdamwCall (kernel_table.h).
struct AdamwValues {
  float decay_factor;                ///< 1 - lr * weight_decay
  float beta1, rest1, beta2, rest2;  ///< rest = 1 - beta
  float step_size;                   ///< lr / (1 - beta1^t)
  float inverse_sqrt_correction2;    ///< 1 / sqrt(1 - beta2^t)
  float epsilon;
  float ema_rest;   ///< 1 - the decay of the average
  float grad_clip;  ///< largest norm of all gradients; 0: no clipping
};

/// lr, moments and corrections of step `step` (1 for the first) in the precision of the host.
AdamwValues adamw_values(double lr,
                         double beta1,
                         double beta2,
                         double epsilon,
                         double weight_decay,
                         double grad_clip,
                         double ema_decay,
                         int64_t step);

/// All pointers are to device memory.
struct AdamwJob {
  const AdamwTensor* tensors;
  const AdamwBlock* blocks;
  int64_t block_count;
  const AdamwValues* values;
  double* partial_sums;  ///< scratch, [block_count]
  float* norm;           ///< [2]: the L2 norm of all gradients, and the clipping factor
};

/// norm[0] = the norm, norm[1] = min(1, grad_clip / norm), both of all tensors. Sums run in a fixed
/// order.
void gradient_norm(const AdamwJob& job, void* stream);

/// One step with norm[1] times the gradients g:
///   p = p * decay_factor
///   m = beta1 m + rest1 g
///   v = beta2 v + rest2 g^2
///   p -= step_size m / (sqrt(v) * inverse_sqrt_correction2 + epsilon)
///   ema += ema_rest (p - ema)
/// If norm[0] is not finite, nothing changes. The caller can read norm at any later time.
void adamw_ema(const AdamwJob& job, void* stream);

}  // namespace uvic::model::cuda
