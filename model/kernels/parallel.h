// Threads for the kernels: LibTorch's own, as at::set_num_threads() set them.
#pragma once

#include <cstdint>
#include <functional>

namespace uvic::model {

/// Calls f(begin, end) for pieces that cover 0 .. count once, each on a thread of its own; `grain`
/// items are worth a thread.
void parallel_ranges(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& f);

}  // namespace uvic::model
