// Dealing images out to equal parts, each a fair sample of all.
#pragma once

#include <cstdint>

#include "base/hash.h"

namespace uvic::metrics {

/// The part of image i among `parts`: of every `parts` images in a row each part gets one,
/// which one turns at random. So the parts stay fair for images sorted by class and for classes
/// taken in turn.
constexpr int64_t part_of(int64_t i, int64_t parts) {
  const auto n = static_cast<uint64_t>(parts), index = static_cast<uint64_t>(i);
  return static_cast<int64_t>((index + base::mix64(index / n) % n) % n);
}

}  // namespace uvic::metrics
