// uvic predict on a KL autoencoder: one half of it on an array.
#pragma once

#include "app/commands/predict.h"

namespace uvic::app {

/// Whether --weights names an autoencoder. False where the file can't be read.
bool weights_are_autoencoder(const PredictOptions& options);

/// Moments of images (--part encoder), or images of unscaled latents (--part decoder). Writes
/// options.output. Throws std::invalid_argument naming the option that is missing, that an
/// autoencoder takes not, or whose array does not fit, before any work.
PredictResult predict_autoencoder(const PredictOptions& options);

}  // namespace uvic::app
