// Sequences that are longer than those of a network's training.
#pragma once

#include <cstdint>
#include <string>

#include "model/sequence_network.h"

namespace uvic::app {

/// Says on stderr that `what` has more tokens than the network was trained on, where that is so and
/// the network takes them. `trained`: tokens of its training sequences; 0: as many as it has
/// positions for.
void note_length(const model::SequenceNetwork& network,
                 int64_t tokens,
                 const std::string& what,
                 int64_t trained = 0);

}  // namespace uvic::app
