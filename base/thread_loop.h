// A loop spread over plain threads that end with it.
#pragma once

#include <cstdint>
#include <functional>

namespace uvic::base {

/// Calls body(i) for i = 0 .. count - 1 on `threads` threads (0: one for each usable core, 1: the
/// caller's own). If calls throw, no further ones begin, and the exception of the lowest i that
/// throws is rethrown after all threads ended: which one is reported does not depend on timing.
void parallel_for(int64_t count, int64_t threads, const std::function<void(int64_t)>& body);

}  // namespace uvic::base
