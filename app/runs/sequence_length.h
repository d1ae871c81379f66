// Sequences that are longer than those of a network's training.
#pragma once

#include <cstdint>
#include <string>

#include "model/sequence_network.h"

namespace uvic::app {

/// Says on stderr that `what` has more tokens than the network was trained on, where that is so and
/// the network takes them.
void note_length(const model::SequenceNetwork& network, int64_t tokens, const std::string& what);

}  // namespace uvic::app
