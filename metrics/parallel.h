// Independent pieces of work on the cores that the program may use.
#pragma once

#include <cstdint>
#include <functional>

namespace uvic::metrics {

/// work(0) ... work(count - 1) on at most `threads` OpenMP threads. LibTorch's operators run
/// single-threaded inside. The first exception is thrown on, after all have ended.
void parallel_for(int64_t count, int threads, const std::function<void(int64_t)>& work);

}  // namespace uvic::metrics
