// Time that passes while the program runs.
#pragma once

#include <chrono>

namespace uvic::base {

using Clock = std::chrono::steady_clock;

/// Seconds since then.
inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace uvic::base
