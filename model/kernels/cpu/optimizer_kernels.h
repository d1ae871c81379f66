// AdamW, the average of the weights and their bf16 copy in one pass over memory.
#pragma once

#include <cstdint>
#include <vector>

#include "base/torch.h"

namespace uvic::model {

/// A parameter and its state: float32 on the CPU, contiguous, of one shape. ema and narrow may be
/// undefined.
struct AdamwTensors {
  torch::Tensor param, grad;
  torch::Tensor mean, square;  ///< PyTorch's exp_avg and exp_avg_sq
  torch::Tensor ema;
  torch::Tensor narrow;  ///< bf16; receives the new parameter
};

struct AdamwStep {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.01;  ///< decoupled: param *= 1 - lr * weight_decay
  int64_t step = 1;            ///< number of the step for the bias corrections, from 1
  double grad_factor = 1;      ///< multiplies every gradient, for clipping
  double ema_decay = 0.9999;   ///< ema += (1 - ema_decay) * (param - ema), with the new parameter
};

/// One step of AdamW as PyTorch's torch.optim.AdamW defines it (Loshchilov and Hutter 2019,
/// arXiv:1711.05101), then an update of the average. A parameter without gradient keeps its value,
/// and its average is updated. The bits do not depend on the number of threads. Throws
/// std::invalid_argument if shapes, dtypes or devices disagree.
void fused_adamw_ema(const std::vector<AdamwTensors>& tensors, const AdamwStep& step);

/// The L2 norm of all gradients together (float32 on the CPU), without undefined ones. The sum is
/// in float64 and in a fixed order.
double gradient_norm(const std::vector<torch::Tensor>& grads);

}  // namespace uvic::model
