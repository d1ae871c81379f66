// The exponential moving average of a network's parameters, from which images are sampled.
#pragma once

#include <cstdint>

namespace uvic::app {

/// The factor by which the average keeps its old value in one step:
/// average = decay * average + (1 - decay) * parameter, after the optimiser's step.
///
/// min(decay, 0.5^(batch_images / (rampup_ratio * images_seen))): with a ratio above 0 the
/// average's half-life never exceeds that share of what was seen so far, so that early steps are
/// forgotten; 0 means `decay` throughout, as U-ViT. Source of the ramp-up: Karras et al. 2022
/// (EDM), arXiv:2206.00364, training loop; its ratio is 0.05.
double ema_decay(double decay, double rampup_ratio, int64_t images_seen, int64_t batch_images);

}  // namespace uvic::app
