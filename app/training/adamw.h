// AdamW, as the official code uses it: every parameter decays.
#pragma once

#include <memory>

#include "app/training/optimizer.h"

namespace uvic::app {

/// With g the gradient, scaled so that its global norm is at most config.grad_clip, and n the
/// number of the step,
///   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
///   p = p (1 - lr wd) - f lr / (1 - beta1^n) m / (sqrt(v / (1 - beta2^n)) + eps),
///
/// f of OptimizedTensors::rate_factors.
///
/// State: exp_avg (m) and exp_avg_sq (v), float32. A parameter without a gradient stays. Source:
/// Loshchilov and Hutter 2019, arXiv:1711.05101.
std::unique_ptr<Optimizer> make_adamw(const OptimizerConfig& config,
                                      const OptimizedTensors& tensors);

}  // namespace uvic::app
