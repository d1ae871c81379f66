// AdamW, the average of the weights and their bf16 copy in one pass over memory.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

namespace uvic::model {

/// A parameter and what goes with it: float32 on the CPU, contiguous, of one shape. Undefined where
/// not wanted: ema, narrow.
struct AdamwTensors {
  torch::Tensor param, grad;
  torch::Tensor mean, square;  ///< PyTorch's exp_avg and exp_avg_sq
  torch::Tensor ema;
  torch::Tensor narrow;  ///< bf16; takes the new parameter
};

struct AdamwStep {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0.01;  ///< decoupled: param *= 1 - lr * weight_decay
  int64_t step = 1;            ///< 1 for the first: what the bias corrections count
  double grad_factor = 1;      ///< multiplies every gradient: what clipping asks for
  double ema_decay = 0.9999;   ///< ema += (1 - ema_decay) * (param - ema), with the new parameter
};

/// One step of AdamW as PyTorch's torch.optim.AdamW defines it (Loshchilov and Hutter 2019,
/// arXiv:1711.05101), then of the average. A parameter without gradient keeps its value, and its
/// average moves on. Bit for bit the same whatever the number of threads. Throws
/// std::invalid_argument where shapes, dtypes or devices disagree.
void fused_adamw_ema(const std::vector<AdamwTensors>& tensors, const AdamwStep& step);

/// The L2 norm of all gradients together, float32 on the CPU, undefined ones left out; the sum runs
/// in float64 in a fixed order.
double gradient_norm(const std::vector<torch::Tensor>& grads);

}  // namespace uvic::model
