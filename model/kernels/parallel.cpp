// Built with OpenMP's flag, without which ATen/Parallel.h runs everything on one thread.
#include "model/kernels/parallel.h"

#include <ATen/Parallel.h>

namespace uvic::model {

void parallel_ranges(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& f) {
  at::parallel_for(0, count, grain, f);
}

}  // namespace uvic::model
