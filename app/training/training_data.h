// The training set of a run, with the encoders that its examples go through.
#pragma once

#include <memory>

#include "app/runs/run_config.h"
#include "app/training/objective.h"
#include "base/torch.h"
#include "data/dataset.h"
#include "data/tokens/token_source.h"

namespace uvic::app {

struct TrainingData {
  std::unique_ptr<data::Dataset> dataset;
  ObjectiveInputs inputs;
};

/// Opens config.data and what its examples need: the autoencoder where one is given, the text
/// encoder where captions are still to be encoded. Throws std::invalid_argument where the set does
/// not suit the network: no labels or too many classes, no captions, latents or contexts of other
/// shapes; and what opening a set or an encoder throws.
TrainingData open_training_data(const RunConfig& config, torch::Device device);

/// Opens config.data as the training sequences of a network of tokens. Throws std::invalid_argument
/// where they do not suit it.
std::unique_ptr<data::TokenSource> open_training_sequences(const RunConfig& config);

}  // namespace uvic::app
