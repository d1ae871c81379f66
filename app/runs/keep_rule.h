// --keep: which weights of a training stay on disk.
#pragma once

#include <cstdint>
#include <string>

namespace uvic::app {

/// --keep of a training: how many of the best stay, and those at multiples of what.
struct KeepRule {
  bool all = true;
  int64_t best = 0;   ///< of the lowest distance; 0: none for that reason
  int64_t every = 0;  ///< images; 0: none for that reason
};
/// "all", "best:3", "every:1M", "best:3,every:1M". Throws std::invalid_argument.
KeepRule parse_keep(const std::string& words);

}  // namespace uvic::app
