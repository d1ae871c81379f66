// AdamW, gradient clipping and the weights' average: what follows a backward pass.
#pragma once

#include "app/runs/run_config.h"
#include "app/training/train_state.h"

namespace uvic::app {

/// One step of AdamW with the decoupled decay on every parameter (Loshchilov and Hutter 2019,
/// arXiv:1711.05101), gradients scaled so that their global norm is at most config.grad_clip, then
/// average = decay * average + (1 - decay) * parameter. `state.step` counts this step already.
/// Gradients are consumed. Returns the global norm before clipping; throws std::runtime_error if it
/// is not finite, changing nothing.
double optimizer_step(const OptimizerConfig& config,
                      double lr,
                      double ema_decay,
                      TrainState& state);

}  // namespace uvic::app
