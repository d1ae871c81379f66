#include "app/runs/sequence_length.h"

#include <fmt/format.h>

#include <cstdio>

namespace uvic::app {

void note_length(const model::SequenceNetwork& network, int64_t tokens, const std::string& what) {
  const auto length = network.input().length;
  if (tokens <= length || !network.takes_longer()) return;
  fmt::print(stderr,
             "note: {}: {} tokens, the network was trained on up to {} (max_position_embeddings)\n",
             what,
             tokens,
             length);
}

}  // namespace uvic::app
