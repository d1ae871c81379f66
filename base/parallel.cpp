// Built with OpenMP's flag, without which ATen/Parallel.h runs everything on one thread.
#include "base/parallel.h"

#include <ATen/Parallel.h>
#include <omp.h>

#include <exception>
#include <mutex>

namespace uvic::base {
namespace {

// Inside a parallel region LibTorch starts no threads; oneDNN must be told, or its kernels wait at
// a barrier for threads that never come. The setting ends with the region.
void stay_on_this_thread() {
  // LibTorch sets the number anew at a thread's first use, its library and what its headers put
  // into this program each for themselves.
  at::get_num_threads();
  at::internal::lazy_init_num_threads();
  omp_set_num_threads(1);
}

}  // namespace

int64_t openmp_team(int64_t wanted) {
  omp_set_dynamic(0);
  int team = 1;
#pragma omp parallel num_threads(static_cast <int>(wanted))
  {
#pragma omp master
    team = omp_get_num_threads();
  }
  return team;
}

void parallel_ranges(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& f) {
  at::parallel_for(0, count, grain, f);
}

void side_by_side(int64_t count, int64_t threads, const std::function<void(int64_t)>& work) {
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const int team = static_cast<int>(threads);
#pragma omp parallel num_threads(team) if (team > 1)
  {
    if (omp_in_parallel()) stay_on_this_thread();
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < count; ++i) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(failure_mutex);
        if (!failure) failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

torch::Tensor in_slices(int64_t count,
                        int64_t parts,
                        const std::function<torch::Tensor(int64_t begin, int64_t end)>& work) {
  std::vector<torch::Tensor> results(static_cast<size_t>(parts));
  side_by_side(parts, at::get_num_threads(), [&](int64_t i) {
    results[static_cast<size_t>(i)] = work(count * i / parts, count * (i + 1) / parts);
  });
  return torch::cat(results);
}

OneThread::OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
OneThread::~OneThread() { omp_set_num_threads(before_); }

}  // namespace uvic::base
