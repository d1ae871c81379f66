// Weights of one decoder-only language model as the beginning of another.
#pragma once

#include "model/weight_transfer.h"

namespace uvic::model {

/// transfer_weights() of model/weight_transfer.h: tensors of the same name and shape are copied,
/// the others are fresh. Rows of another vocabulary are not matched: their tokens are others.
/// Throws std::invalid_argument where width or layers differ.
WeightTransfer transfer_decoder_lm(const TransferInput& input);

}  // namespace uvic::model
