// uvic predict for networks of sequences: the logits after each token.
#pragma once

#include "app/commands/predict.h"
#include "app/runs/weights_file.h"
#include "base/torch.h"
#include "model/sequence_network.h"

namespace uvic::app {

/// What a network computes from the input.
struct PredictEvaluation {
  torch::Tensor output;
  torch::Tensor loss;  ///< undefined without a target
};

/// The logits [batch, length, vocabulary] of the tokens or the text of --input, and the mean cross
/// entropy with --target. `file` holds the weights. Says on stderr where the sequences are longer
/// than those of the training. Throws std::invalid_argument for inputs that the network has no use
/// for, for arrays of another kind or shape, and for tokens outside its vocabulary.
PredictEvaluation evaluate_tokens(const PredictOptions& options,
                                  const model::SequenceNetworkPtr& network,
                                  const WeightsFile& file,
                                  torch::Device device);

}  // namespace uvic::app
