#include "app/runs/sequence_length.h"

#include <fmt/format.h>

#include <cstdio>

namespace uvic::app {

void note_length(const model::SequenceNetwork& network,
                 int64_t tokens,
                 const std::string& what,
                 int64_t trained) {
  const auto length = trained > 0 ? trained : network.input().length;
  if (tokens <= length || !network.takes_longer()) return;
  fmt::print(
      stderr, "note: {}: {} tokens, the network was trained on up to {}\n", what, tokens, length);
}

}  // namespace uvic::app
