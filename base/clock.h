// Time that passes while the program runs.
#pragma once

#include <chrono>

namespace uvic::base {

using Clock = std::chrono::steady_clock;

/// Seconds since then.
inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Seconds of the second of two calls: the first warms up.
template <class Work>
double second_call_sec(Work&& work) {
  work();
  const auto begin = Clock::now();
  work();
  return seconds_since(begin);
}

}  // namespace uvic::base
